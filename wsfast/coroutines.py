"""Coroutine functions, told from others before they are called."""

from __future__ import annotations

import inspect

__all__ = ["is_asynchronous"]


def is_asynchronous(callback: object) -> bool:
    """Whether what calling it returns has to be awaited.

    That is so for a coroutine function or method, a partial of one, an object whose `__call__` is
    one, and an object that says so by an attribute `asynchronous`. A plain function that returns
    an awaitable cannot be told before it is called.
    """
    return (
        inspect.iscoroutinefunction(callback)
        or inspect.iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004
        or getattr(callback, "asynchronous", None) is True
    )
