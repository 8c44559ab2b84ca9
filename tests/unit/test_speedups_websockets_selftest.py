"""The self-test of websockets finds what is wrong, and is fast and silent where nothing is."""

from __future__ import annotations

import sys
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from growth import quickest
from wsfast import speedups
from wsfast.speedups.selftest import Mismatch
from wsfast.speedups.websockets_selftest import called_by, selftest, unmasked

SLOTS = (
    "websockets.frames:Frame.parse",
    "websockets.frames:Frame.serialize",
    "websockets.protocol:Protocol.receive_data",
    "websockets.protocol:Protocol.send_text",
    "websockets.protocol:Protocol.send_binary",
    "websockets.protocol:Protocol.send_continuation",
)


def originals() -> dict[str, Any]:
    owners: dict[str, Any] = {"Frame": Frame, "Protocol": Protocol}
    found = {}
    for where in SLOTS:
        owner, _, name = where.partition(":")[2].partition(".")
        found[where] = vars(owners[owner])[name]
    return found


def test_it_passes_again_and_again() -> None:
    theirs = originals()
    with speedups.installed("websockets", strict=True):
        for seed in range(60):
            selftest(theirs, "frames", Random(seed))


def test_it_takes_milliseconds() -> None:
    theirs = originals()
    with speedups.installed("websockets", strict=True):
        taken = quickest(lambda: [selftest(theirs, "frames", Random(seed)) for seed in range(10)])
    assert taken < 0.5


def test_it_says_when_ours_are_not_reached() -> None:
    with pytest.raises(Mismatch, match="passed"):
        selftest(originals(), "frames", Random(1))


def as_text(self: Any, data: Any, fin: bool = True) -> None:
    Protocol.send_text(self, data, fin)


def without_last(self: Any, data: Any) -> None:
    theirs(self, bytes(data)[:-1])


def theirs(self: Any, data: bytes) -> None:
    self.reader.feed_data(data)
    next(self.parser)


@pytest.mark.parametrize(
    ("name", "wrong"), [("send_binary", as_text), ("receive_data", without_last)]
)
def test_it_finds_what_is_wrong(name: str, wrong: Any) -> None:
    before = originals()
    with speedups.installed("websockets", strict=True):
        with mock.patch.object(Protocol, name, wrong), pytest.raises(Mismatch):
            for seed in range(50):
                selftest(before, "frames", Random(seed))


def test_a_wrong_mask_is_found() -> None:
    import websockets.frames

    original = websockets.frames.apply_mask
    with mock.patch("websockets.frames.apply_mask", lambda data, mask: bytes(data)):
        with pytest.raises(Mismatch):
            selftest({"websockets.frames:apply_mask": original}, "kernels", Random(1))


def test_frames_are_compared_without_their_keys() -> None:
    frame = Frame(Opcode.BINARY, b"same")
    assert frame.serialize(mask=True) != frame.serialize(mask=True)
    assert unmasked(frame.serialize(mask=True)) == unmasked(frame.serialize(mask=True))
    assert unmasked(frame.serialize(mask=True)) != unmasked(frame.serialize(mask=False))
    assert unmasked(b"") == (bytes, b"")


def test_it_stays_out_of_the_way_of_a_profiler() -> None:
    def profiler(frame: Any, event: str, argument: Any) -> None:
        pass

    sys.setprofile(profiler)
    try:
        assert called_by(Protocol(SERVER).send_text, b"x") == set()
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert "send_frame" in called_by(Protocol(CLIENT).send_text, b"x")
    assert sys.getprofile() is None
