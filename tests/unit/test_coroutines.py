"""Coroutine functions, however they are dressed up."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from wsfast.coroutines import is_asynchronous
from wsfast.credentials import Basic, Bearer


async def coroutine(*args: Any) -> None:
    """A coroutine function."""


def plain(*args: Any) -> None:
    """None."""


class Methods:
    async def one(self) -> None:
        """A coroutine function."""

    @staticmethod
    async def two() -> None:
        """A coroutine function."""

    @classmethod
    async def three(cls) -> None:
        """A coroutine function."""

    def four(self) -> None:
        """None."""


class Callable:
    async def __call__(self) -> None:
        """A coroutine function."""


class Saying:
    def __init__(self, asynchronous: object) -> None:
        self.asynchronous = asynchronous

    def __call__(self) -> None:
        """Whatever it says."""


@pytest.mark.parametrize(
    "callback",
    [
        coroutine,
        functools.partial(coroutine, 1),
        Methods().one,
        Methods.two,
        Methods.three,
        functools.partial(Methods().one),
        Callable(),
        Saying(True),
        Basic(coroutine),
        Bearer(coroutine),
        Bearer(Callable()),
    ],
)
def test_these_have_to_be_awaited(callback: object) -> None:
    assert is_asynchronous(callback)


@pytest.mark.parametrize(
    "callback",
    [
        None,
        plain,
        functools.partial(plain, 1),
        Methods().four,
        lambda: coroutine(),
        Saying(False),
        Saying("yes"),
        Basic({"u": "p"}),
        Basic(plain),
        Bearer(["t"]),
        object(),
        {}.get,
    ],
)
def test_these_have_not_or_cannot_be_told(callback: object) -> None:
    assert not is_asynchronous(callback)


def test_looking_calls_nothing() -> None:
    class Noisy:
        def __call__(self) -> None:
            raise AssertionError

    assert not is_asynchronous(Noisy())
