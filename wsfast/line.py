"""Calls that wait on one connection, in order; reading from its peer stops above a bound.

With 16 calls or 128 KiB waiting reading pauses, and it goes on at 4 and 32 KiB. (What one read
of up to 256 KiB brought waits all the same.) Bytes count because answers to all that waits may
have to wait in turn, within `max_queue_bytes`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

__all__ = ["Call", "Line"]

_HIGH, _LOW = 16, 4
_HIGH_BYTES, _LOW_BYTES = 128 * 1024, 32 * 1024

#: callback(ws, *details), to be called later.
Call = tuple[Callable[..., Any], tuple[Any, ...]]
_SIZED = (str, bytes, memoryview)


class Line:
    """What waits on one connection.

    Args:
        by: in whose name reading is paused, see `Endpoint.pause_reading`.
    """

    __slots__ = ("_by", "_calls", "_is_paused", "_size")

    def __init__(self, by: str) -> None:
        self._by = by
        self._calls: collections.deque[Call] = collections.deque()
        self._size = 0
        self._is_paused = False

    def __len__(self) -> int:
        return len(self._calls)

    def push(self, ws: Any, call: Call) -> None:
        """Let one more wait, the last."""
        self._calls.append(call)
        self._size += _size(call)
        if len(self._calls) >= _HIGH or self._size >= _HIGH_BYTES:
            self._is_paused = True
            ws.pause_reading(by=self._by)

    def pop(self, ws: Any) -> Call:
        """Take the first."""
        call = self._calls.popleft()
        self._size -= _size(call)
        if self._is_paused and len(self._calls) <= _LOW and self._size <= _LOW_BYTES:
            self._resume(ws)
        return call

    def put_back(self, call: Call) -> None:
        """Make the one that was taken the first again."""
        self._calls.appendleft(call)
        self._size += _size(call)

    def drop(self, ws: Any, *, but: object = None) -> None:
        """Drop all, but the calls of one callback, and read on."""
        self._calls = collections.deque(call for call in self._calls if call[0] == but)
        self._size = sum(map(_size, self._calls))
        if self._is_paused:
            self._resume(ws)

    def _resume(self, ws: Any) -> None:
        self._is_paused = False
        ws.resume_reading(by=self._by)


def _size(call: Call) -> int:
    """Of a message or payload; that of text is counted in characters."""
    details = call[1]
    return len(details[0]) if details and isinstance(details[0], _SIZED) else 0
