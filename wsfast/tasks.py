"""Coroutines of handlers, where asyncio hosts: one at a time for each connection, in wire order.

Nothing is kept for a connection whose handler has nothing under way. While a coroutine runs,
what else happens on its connection waits in line behind it; with more than 16 messages or 128 KiB
waiting, reading from that peer pauses, and it goes on at 4 and 32 KiB. (What one read of up to
256 KiB brought is in line all the same.) Bytes count because answers to all that waits may have to
wait in turn, within `max_queue_bytes`. on_close is the last in line, so it waits for what is under
way.

An exception ends as one of a sync handler does: it is logged once, the connection is closed with
1011, and messages that wait are dropped.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from wsfast.auth import Authenticated
from wsfast.endpoint import Endpoint
from wsfast.site import CALLBACKS

__all__ = ["InLine", "Tasks"]

_HIGH, _LOW = 16, 4
_HIGH_BYTES, _LOW_BYTES = 128 * 1024, 32 * 1024
_CANCEL_SECONDS = 1.0

_log = logging.getLogger("wsfast")

_Call = tuple[Callable[..., Any], tuple[Any, ...]]
_SIZED = (str, bytes, memoryview)


class Tasks:
    """The tasks of one server on an asyncio loop.

    Args:
        loop: where they run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[Any]] = set()
        self.stopping = False

    def __len__(self) -> int:
        return len(self._running)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine that lets no exception out."""
        task = self._loop.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def answer(
        self, awaitable: Awaitable[Any], done: Callable[[asyncio.Task[Any]], None]
    ) -> asyncio.Task[Any]:
        """Await something; done(task) is called with what came of it."""

        async def wait() -> Any:
            return await awaitable

        def finished(task: asyncio.Task[Any]) -> None:
            self._running.discard(task)
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # or it would warn, if it was cancelled before it began
            if not task.cancelled():
                task.exception()  # who left does not look at it: it is not worth a warning
            done(task)

        task = self._loop.create_task(wait())
        self._running.add(task)
        task.add_done_callback(finished)
        return task

    def in_line(self, handler: object) -> object:
        """A handler for the engine, in front of one that has coroutine functions.

        `Authenticated` stays in front: a credential does not wait for what is under way.
        """
        if isinstance(handler, Authenticated):
            return handler.around(self.in_line(handler.handler))
        return InLine(handler, self)

    async def finish(self, seconds: float) -> None:
        """Wait for all tasks, for at most so many seconds; then cancel what still runs."""
        await self._wait(seconds)
        self.stopping = True
        for _ in range(2):  # once for what was under way, once for an on_close behind it
            for task in self._running:
                task.cancel()
            await self._wait(_CANCEL_SECONDS)
        if self._running:
            _log.error("%d handlers go on although they were cancelled", len(self._running))

    async def _wait(self, seconds: float) -> None:
        if self._running:
            await asyncio.wait(list(self._running), timeout=seconds)


class _Line:
    """What waits on one connection behind what is under way."""

    __slots__ = ("calls", "paused", "size")

    def __init__(self) -> None:
        self.calls: collections.deque[_Call] = collections.deque()
        self.size = 0
        self.paused = False

    def push(self, ws: Endpoint, call: _Call) -> None:
        self.calls.append(call)
        self.size += _size(call)
        if not self.paused and (len(self.calls) >= _HIGH or self.size >= _HIGH_BYTES):
            self.paused = True
            ws.pause_reading()

    def pop(self, ws: Endpoint) -> _Call:
        call = self.calls.popleft()
        self.size -= _size(call)
        if self.paused and len(self.calls) <= _LOW and self.size <= _LOW_BYTES:
            self.resume(ws)
        return call

    def resume(self, ws: Endpoint) -> None:
        self.paused = False
        ws.resume_reading()

    def keep(self, callback: object) -> None:
        """Drop all but the calls of one callback."""
        self.calls = collections.deque(call for call in self.calls if call[0] == callback)
        self.size = sum(map(_size, self.calls))


def _size(call: _Call) -> int:
    """Of a message or payload; that of text is counted in characters."""
    details = call[1]
    return len(details[0]) if details and isinstance(details[0], _SIZED) else 0


class InLine:
    """Stands before a handler that has coroutine functions.

    Args:
        handler: any object with some of the methods of a handler.
        tasks: runs them.
    """

    def __init__(self, handler: object, tasks: Tasks) -> None:
        self._tasks = tasks
        self._waiting: dict[Endpoint, _Line] = {}
        self._on_close = getattr(handler, "on_close", None)
        for name in (*CALLBACKS, "on_authenticated"):
            callback = getattr(handler, name, None)
            if callback is not None:
                setattr(self, name, functools.partial(self._deliver, callback))

    def _deliver(self, callback: Callable[..., Any], ws: Endpoint, *details: Any) -> None:
        line = self._waiting.get(ws)
        if line is not None:
            line.push(ws, (callback, details))
            return
        result = callback(ws, *details)
        if result is not None and inspect.isawaitable(result):
            self._waiting[ws] = _Line()
            self._tasks.start(self._run(ws, result))

    async def _run(self, ws: Endpoint, result: Awaitable[Any]) -> None:
        line = self._waiting[ws]
        try:
            await self._guard(ws, line, result)
            while line.calls:
                callback, details = line.pop(ws)
                await self._guard(ws, line, callback, *details)
        finally:
            del self._waiting[ws]

    async def _guard(self, ws: Endpoint, line: _Line, what: Any, *details: Any) -> None:
        """Await one result, or call one callback and await what it returns, if that can be."""
        try:
            result = what(ws, *details) if callable(what) else what
            if result is not None and inspect.isawaitable(result):
                await result
        except (Exception, asyncio.CancelledError) as error:
            if not self._tasks.stopping:
                _log.exception("a handler failed; its connection is closed with 1011")
            line.keep(self._on_close)
            line.resume(ws)
            ws.fail(_as_exception(error))


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(f"cancelled: {error!r}")
