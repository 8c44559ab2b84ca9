"""What endpoints share: defaults, and values that are refused at construction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wsfast.limits import Limits
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


def test_defaults(loop: Loop) -> None:
    made = settings(loop)
    assert made.loop is loop
    assert made.role is Role.SERVER
    assert made.opener is object
    assert made.endpoints == set()
    assert made.limits == Limits()
    assert made.views is False
    assert made.preface is False
    assert settings(loop, preface=True).preface is True


def test_limits_are_kept_as_they_came(loop: Loop) -> None:
    limits = Limits(low_water_bytes=0, high_water_bytes=0, max_queue_bytes=0)
    assert settings(loop, limits=limits).limits is limits


@pytest.mark.parametrize("wrong", [None, {}, 1 << 20, Limits])
def test_limits_of_another_type_are_refused(loop: Loop, wrong: Any) -> None:
    with pytest.raises(TypeError, match="not a Limits"):
        settings(loop, limits=wrong)


@pytest.mark.parametrize("wrong", [{"no_such_option": 1}, {"max_message_bytes": 1}], ids=str)
def test_unknown_names_are_refused(loop: Loop, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        settings(loop, **wrong)


def test_a_loop_and_a_role_are_needed(loop: Loop) -> None:
    with pytest.raises(TypeError):
        Settings(None, Role.SERVER, object(), object)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Settings(loop, "neither", object(), object)  # type: ignore[arg-type]
