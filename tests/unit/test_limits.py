"""Limits: their defaults, and every value that is refused when they are made."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from wsfast.limits import Limits

FIELDS = {field.name: field for field in dataclasses.fields(Limits)}
WHOLE = [name for name, field in FIELDS.items() if str(field.type).startswith("int")]
REAL = [name for name, field in FIELDS.items() if str(field.type).startswith("float")]
OPTIONAL = {name for name, field in FIELDS.items() if str(field.type).endswith("None")}
SWITCHABLE = {
    "keep_alive_seconds",
    "ping_interval_seconds",
    "dead_after_seconds",
    "idle_seconds",
    "lifetime_seconds",
    "handler_seconds",
}
SHARES = {"ping_jitter", "lifetime_jitter"}
MARKS = ["low_water_bytes", "high_water_bytes", "max_queue_bytes"]


def test_defaults_are_no_looser_than_those_of_the_best_peers() -> None:
    limits = Limits()
    assert limits.max_message_bytes <= 1 << 20
    assert limits.max_head_bytes <= 16384 and limits.max_headers <= 128
    assert limits.opening_seconds <= 10 and limits.closing_seconds <= 10
    assert limits.max_queue_bytes <= 1 << 20
    interval, jitter = limits.ping_interval_seconds, limits.ping_jitter
    assert interval is not None
    assert interval * (1 - jitter) >= 20 and interval * (1 + jitter) <= 30
    assert limits.dead_after_seconds is not None and limits.dead_after_seconds <= 20


def test_what_costs_or_refuses_somebody_is_off_until_it_is_asked_for() -> None:
    limits = Limits()
    off = {name for name in FIELDS if getattr(limits, name) is None}
    assert off == OPTIONAL - {"keep_alive_seconds", "ping_interval_seconds", "dead_after_seconds"}


def test_it_is_frozen_and_has_no_dict() -> None:
    limits = Limits()
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.max_headers = 1  # type: ignore[misc]
    assert not hasattr(limits, "__dict__")
    assert hash(limits) == hash(Limits()) and limits == Limits()


def test_a_changed_copy_is_checked_as_well() -> None:
    limits = dataclasses.replace(Limits(), max_headers=7)
    assert limits.max_headers == 7 and limits.max_head_bytes == Limits().max_head_bytes
    with pytest.raises(ValueError, match="max_headers is 0, not in 1"):
        dataclasses.replace(limits, max_headers=0)


def test_values_stand_by_name_only() -> None:
    with pytest.raises(TypeError):
        Limits(1 << 20)  # type: ignore[misc]
    with pytest.raises(TypeError, match="high_water"):
        Limits(high_water=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("wrong", ["1", 1.5, True, b"1"])
def test_whole_numbers_are_asked_for(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} is {wrong!r}, not a whole number"):
        Limits(**{name: wrong})


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("wrong", [-1, -(1 << 70), 1 << 62])
def test_whole_numbers_out_of_range_are_refused(name: str, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {wrong}, not in "):
        Limits(**{name: wrong})


@pytest.mark.parametrize("name", [name for name in WHOLE if name not in MARKS])
def test_zero_is_no_limit_and_no_way_to_say_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, not in 1.."):
        Limits(**{name: 0})


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("wrong", ["1", True, b""])
def test_numbers_are_asked_for(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} is {wrong!r}, not a number"):
        Limits(**{name: wrong})


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("wrong", [-0.1, -1, math.nan, math.inf, -math.inf])
def test_numbers_out_of_range_are_refused(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {wrong!r}, it must be finite and "):
        Limits(**{name: wrong})


@pytest.mark.parametrize("name", REAL)
def test_zero_switches_off_what_can_be_off(name: str) -> None:
    if name in SWITCHABLE | SHARES:
        assert getattr(Limits(**{name: 0}), name) == 0
        return
    with pytest.raises(ValueError, match=f"{name} is 0, it must be finite and above 0"):
        Limits(**{name: 0})


@pytest.mark.parametrize("name", FIELDS)
def test_none_is_for_what_may_be_without_limit(name: str) -> None:
    if name in OPTIONAL:
        assert getattr(Limits(**{name: None}), name) is None
        return
    with pytest.raises(TypeError, match=f"{name} is None, not a "):
        Limits(**{name: None})


@pytest.mark.parametrize("name", sorted(SHARES))
@pytest.mark.parametrize("wrong", [1, 1.0, 1.5])
def test_a_share_is_less_than_one(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {wrong}, a share is less than 1"):
        Limits(**{name: wrong})
    assert getattr(Limits(**{name: 0.99}), name) == 0.99


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_water_bytes": 2, "high_water_bytes": 1},
        {"high_water_bytes": 1 << 30},
        {"max_queue_bytes": 1},
        {"low_water_bytes": 1 << 20},
    ],
    ids=str,
)
def test_marks_out_of_order_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="are not in rising order") as caught:
        Limits(**wrong)
    for name in MARKS:
        assert f"{name} {wrong.get(name, getattr(Limits(), name))}" in str(caught.value)


def test_marks_may_meet() -> None:
    limits = Limits(low_water_bytes=0, high_water_bytes=0, max_queue_bytes=0)
    assert limits.high_water_bytes == 0


@pytest.mark.parametrize("name", WHOLE)
def test_the_largest_message_of_the_engine_is_allowed(name: str) -> None:
    most = (1 << 31) - 1
    marks = dict.fromkeys(MARKS, most) if name in MARKS else {name: most}
    assert getattr(Limits(**marks), name) == most
    assert Limits(max_message_bytes=(1 << 62) - 1).max_message_bytes == (1 << 62) - 1
