"""What the environment asks for, and that its "off" wins over the code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_library import CHECK, MASK, PARSE, SERIALIZE, Fake, fake_library
from wsfast.speedups.registry import Registry

ALL = {MASK, SERIALIZE, PARSE, CHECK}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "other", monkeypatch, "other-ws") as made:
        yield made


@pytest.fixture
def both(fake: Fake, other: Fake) -> Iterator[Registry]:
    """A registry that knows two libraries."""
    made = Registry([fake.target(), other.target()])
    yield made
    made.uninstall()


# --- the environment -------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["off", "0", "No", "false", "off,fake-ws"])
def test_off_wins_over_the_code(fake: Fake, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", value)
    finders = list(sys.meta_path)
    fake.load()
    fake.registry.install()
    fake.registry.install("fake-ws", strict=True, level="kernels")
    with fake.registry.installed("fake-ws"):
        assert not fake.replaced
    assert sys.meta_path == finders
    assert (fake.report.state, fake.report.note) == (
        "inactive",
        "WSFAST_SPEEDUPS turns everything off",
    )


def test_off_does_not_keep_anybody_from_uninstalling(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.load()
    fake.registry.install()
    monkeypatch.setenv("WSFAST_SPEEDUPS", "off")
    fake.registry.uninstall()
    assert not fake.replaced


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", (ALL, ALL)),
        ("all", (ALL, ALL)),
        ("kernels", ({MASK}, {MASK})),
        ("other-ws", (set(), ALL)),
        ("kernels,other-ws", (set(), {MASK})),
        ("all,kernels", ({MASK}, {MASK})),
    ],
)
def test_the_environment_gives_the_defaults(
    both: Registry,
    fake: Fake,
    other: Fake,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    expected: Any,
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", value)
    fake.load()
    other.load()
    both.install()
    assert (fake.replaced, other.replaced) == expected


def test_the_code_wins_over_the_defaults(
    both: Registry, fake: Fake, other: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "kernels,other-ws")
    fake.load()
    other.load()
    both.install("fake-ws", level="frames")
    assert (fake.replaced, other.replaced) == (ALL, set())


def test_all_and_one_that_is_not_taken_by_default(
    fake: Fake, other: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "all,other-ws")
    registry = Registry([fake.target(), other.target(by_default=False)])
    fake.load()
    other.load()
    registry.install()
    assert (fake.replaced, other.replaced) == (ALL, ALL)
    registry.uninstall()


@pytest.mark.parametrize("value", ["bogus", "fake-ws,bogus", "frames,kernels"])
def test_a_wrong_word_in_the_environment_is_an_error(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", value)
    for call in (fake.registry.install, fake.registry.status):
        with pytest.raises(ValueError, match="^WSFAST_SPEEDUPS: "):
            call()
    assert not fake.registry.library("fake-ws").wish


def test_untested_versions_by_the_environment(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write("3.0")
    fake.load()
    monkeypatch.setenv("WSFAST_SPEEDUPS_UNTESTED", "1")
    fake.registry.install(allow_untested=False)
    assert not fake.replaced
    fake.registry.install()
    assert fake.replaced == ALL
