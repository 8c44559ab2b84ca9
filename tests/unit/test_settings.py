"""What endpoints share: defaults, and values that are refused at construction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wsfast.loop import Loop
from wsfast.rfc6455 import Role
from wsfast.settings import Settings


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def settings(loop: Loop, **options: Any) -> Settings:
    return Settings(loop, Role.SERVER, object(), object, **options)


def test_defaults_are_no_looser_than_those_of_the_best_peers(loop: Loop) -> None:
    made = settings(loop)
    assert made.loop is loop
    assert made.role is Role.SERVER
    assert made.opener is object
    assert made.endpoints == set()
    assert made.max_message_bytes == 1 << 20
    assert made.max_fragments is None
    assert made.views is False
    assert (made.low_water, made.high_water) == (64 * 1024, 256 * 1024)
    assert made.opening_seconds == made.closing_seconds == 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_water": -1},
        {"low_water": 2, "high_water": 1},
        {"high_water": 1 << 30},
        {"max_queue_bytes": 1},
        {"max_message_bytes": 0},
        {"max_message_bytes": -1},
        {"max_message_bytes": 1 << 62},
        {"max_fragments": 0},
        {"max_fragments": -5},
        {"opening_seconds": -0.1},
        {"closing_seconds": float("nan")},
    ],
    ids=str,
)
def test_limits_out_of_range_are_refused(loop: Loop, wrong: dict[str, int]) -> None:
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=name):
        settings(loop, **wrong)


def test_marks_may_meet(loop: Loop) -> None:
    made = settings(loop, low_water=0, high_water=0, max_queue_bytes=0)
    assert made.high_water == 0


@pytest.mark.parametrize("wrong", [{"no_such_limit": 1}, {"max_message_bytes": "1"}], ids=str)
def test_wrong_names_and_types_are_refused(loop: Loop, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        settings(loop, **wrong)


def test_a_loop_and_a_role_are_needed(loop: Loop) -> None:
    with pytest.raises(TypeError):
        Settings(None, Role.SERVER, object(), object)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Settings(loop, "neither", object(), object)  # type: ignore[arg-type]
