"""What WSFAST_SPEEDUPS and WSFAST_SPEEDUPS_UNTESTED come to."""

from __future__ import annotations

import os

import pytest

from wsfast.speedups.environment import (
    UNTESTED,
    VARIABLE,
    Wishes,
    normalised,
    read_environment,
)

KNOWN = ("websockets", "websocket-client", "wsaccel")


def read(value: str | None, untested: str | None = None) -> Wishes:
    pairs = {VARIABLE: value, UNTESTED: untested}
    return read_environment(
        KNOWN, {name: text for name, text in pairs.items() if text is not None}
    )


@pytest.mark.parametrize("value", [None, "", " ", ",", "all", "ON", "1", "yes", " True ", "all,,"])
def test_everything_is_the_default(value: str | None) -> None:
    assert read(value) == Wishes()
    assert Wishes() == (False, True, (), "frames", False)


@pytest.mark.parametrize(
    "value", ["off", "OFF", "0", "no", "false", " off ", "frames,off", "off,x"]
)
def test_off_wins_over_every_other_word(value: str) -> None:
    assert read(value).off
    assert read(value, untested="1") == Wishes(off=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("kernels", Wishes(level="kernels")),
        ("frames", Wishes(level="frames")),
        ("KERNELS,kernels", Wishes(level="kernels")),
        ("all,kernels", Wishes(level="kernels")),
        ("websockets", Wishes(everything=False, libraries=("websockets",))),
        (
            " WebSockets , websocket_client,",
            Wishes(everything=False, libraries=("websockets", "websocket-client")),
        ),
        (
            "kernels,websockets",
            Wishes(everything=False, libraries=("websockets",), level="kernels"),
        ),
        (
            "websockets,frames",
            Wishes(everything=False, libraries=("websockets",), level="frames"),
        ),
        ("all,wsaccel", Wishes(everything=True, libraries=("wsaccel",))),
    ],
)
def test_words(value: str, expected: Wishes) -> None:
    assert read(value) == expected


@pytest.mark.parametrize("value", ["bogus", "all,bogus", "kernels;frames", "websocket", "frame"])
def test_a_wrong_word_is_named_with_the_ones_there_are(value: str) -> None:
    with pytest.raises(ValueError) as raised:
        read(value)
    text = str(raised.value)
    assert text.startswith("WSFAST_SPEEDUPS: ")
    assert repr(value.split(",")[-1]) in text
    for each in (*KNOWN, "off", "all", "kernels", "frames"):
        assert each in text
    assert raised.value.__cause__ is None and raised.value.__suppress_context__


def test_both_levels_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="WSFAST_SPEEDUPS: one of kernels, frames, not both"):
        read("kernels,frames,websockets")


@pytest.mark.parametrize(
    ("untested", "allowed"),
    [(None, False), ("", False), ("0", False), ("Off", False), ("no", False), ("1", True)]
    + [("yes", True), ("all", True)],
)
def test_untested_versions(untested: str | None, allowed: bool) -> None:
    assert read("kernels", untested).allow_untested is allowed


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "kernels")
    assert read_environment(KNOWN).level == "kernels"
    monkeypatch.setitem(os.environ, VARIABLE, "off")
    assert read_environment(KNOWN).off
    monkeypatch.delenv(VARIABLE)
    assert read_environment(KNOWN) == Wishes()


@pytest.mark.parametrize("name", ["websocket-client", "websocket_client", " WebSocket-Client "])
def test_a_name_in_every_spelling(name: str) -> None:
    assert normalised(name, KNOWN) == "websocket-client"


@pytest.mark.parametrize("name", ["", "websocket", "websockets ,", "wsaccel.utf8validator"])
def test_a_name_of_nothing(name: str) -> None:
    with pytest.raises(ValueError) as raised:
        normalised(name, KNOWN)
    assert str(raised.value) == (
        f"{name!r} is no library that wsfast speeds up: websockets, websocket-client, wsaccel"
    )
