"""Coroutines of handlers, where asyncio hosts: one at a time for each connection, in wire order.

Nothing is kept for a connection whose handler has nothing under way. While a coroutine runs,
what else happens on its connection waits in a `Line` behind it, which bounds it by pausing reading
from that peer. on_close is the last in line, so it waits for what is under way.

An exception ends as one of a sync handler does: it is logged once, the connection is closed with
1011, and messages that wait are dropped. So does a coroutine that takes longer than it may
(`Limits.handler_seconds`): the connection does not wait for it to take note.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from wsfast.auth import Authenticated
from wsfast.endpoint import Endpoint
from wsfast.line import Line
from wsfast.site import CALLBACKS, coroutines_of

__all__ = ["InLine", "Tasks"]

_CANCEL_SECONDS = 1.0

_log = logging.getLogger("wsfast")


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

    def start(
        self, coroutine: Coroutine[Any, Any, None], dropped: Callable[[], object]
    ) -> asyncio.Task[None]:
        """Run a coroutine that lets no exception out.

        Args:
            coroutine: what to run.
            dropped: called if it was cancelled before it began, and never ran.
        """

        def finished(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            if task.cancelled():
                dropped()

        task = self._loop.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(finished)
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

    def in_line(self, handler: object, seconds: float | None = None) -> object:
        """A handler for the engine, in front of one that may have coroutine functions.

        `Authenticated` stays in front: a credential does not wait for what is under way.

        Args:
            handler: any handler; one without coroutine functions is returned as it is.
            seconds: `Limits.handler_seconds`.
        """
        if isinstance(handler, Authenticated):
            return handler.around(self.in_line(handler.handler, seconds), self)
        return InLine(handler, self, seconds) if coroutines_of(handler) else handler

    def later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        """Call callback(*args) after so many seconds."""
        return self._loop.call_later(seconds, callback, *args)

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
        """Wait for those that run, and for what they start; at the least a round of the loop."""
        until = self._loop.time() + seconds
        while self._running:
            await asyncio.wait(list(self._running), timeout=max(0.0, until - self._loop.time()))
            if self._loop.time() >= until:
                break


class InLine:
    """Stands before a handler that has coroutine functions.

    Args:
        handler: any object with some of the methods of a handler.
        tasks: runs them.
        seconds: how long a coroutine may take; None or 0: as long as it likes.
    """

    def __init__(self, handler: object, tasks: Tasks, seconds: float | None = None) -> None:
        self._tasks = tasks
        self._seconds = seconds
        self._waiting: dict[Endpoint, Line] = {}
        self._overdue: set[Endpoint] = set()
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
            self._waiting[ws] = Line("handler")
            self._start(ws, result)

    def _start(self, ws: Endpoint, result: Awaitable[Any]) -> None:
        coroutine = self._run(ws, result)
        try:
            self._tasks.start(coroutine, functools.partial(self._drop, ws, result))
        except RuntimeError:  # the loop is closed: nobody will ever run it
            coroutine.close()
            self._forget(ws, result)
            raise

    def _forget(self, ws: Endpoint, result: Awaitable[Any]) -> Line:
        """Nothing is under way any more, as it never began."""
        if inspect.iscoroutine(result):
            result.close()  # or it would warn
        return self._waiting.pop(ws)

    def _drop(self, ws: Endpoint, result: Awaitable[Any]) -> None:
        """It was cancelled before it began: that ends as it does later, and on_close comes."""
        line = self._forget(ws, result)
        self._fail(ws, line, asyncio.CancelledError())
        while len(line):
            callback, details = line.pop(ws)
            self._deliver(callback, ws, *details)

    async def _run(self, ws: Endpoint, result: Awaitable[Any]) -> None:
        line = self._waiting[ws]
        try:
            await self._guard(ws, line, result)
            while len(line):
                callback, details = line.pop(ws)
                if not self._tasks.stopping or callback == self._on_close:
                    await self._guard(ws, line, callback, *details)
        finally:
            del self._waiting[ws]

    async def _guard(self, ws: Endpoint, line: Line, what: Any, *details: Any) -> None:
        """Await one result, or call one callback and await what it returns, if that can be."""
        timer = None
        try:
            result = what(ws, *details) if callable(what) else what
            if result is not None and inspect.isawaitable(result):
                if self._seconds:
                    task = asyncio.current_task()
                    timer = self._tasks.later(self._seconds, self._cut, ws, line, result, task)
                await result
        except asyncio.CancelledError as error:
            if ws not in self._overdue:
                _forget_cancellation()
                self._fail(ws, line, error)
        except Exception as error:
            self._fail(ws, line, error)
        finally:
            if ws in self._overdue:  # it may have kept the cancellation to itself
                self._overdue.discard(ws)
                _forget_cancellation()
            if timer is not None:
                timer.cancel()

    def _fail(self, ws: Endpoint, line: Line, error: BaseException) -> None:
        if not self._tasks.stopping:
            _log.error(
                "a handler failed; its connection is closed with 1011",
                exc_info=error,
            )
        line.drop(ws, but=self._on_close)
        ws.fail(error if isinstance(error, Exception) else RuntimeError(f"cancelled: {error!r}"))

    def _cut(self, ws: Endpoint, line: Line, result: Any, task: asyncio.Task[Any]) -> None:
        """It takes too long. Whether it lets itself be cancelled or not, its connection ends."""
        name = getattr(result, "__qualname__", repr(result))
        reason = f"{name} took longer than {self._seconds:g} s (handler_seconds)"
        _log.error("%s: its connection is closed with 1011", reason)
        self._overdue.add(ws)
        task.cancel()
        line.drop(ws, but=self._on_close)
        ws.fail(TimeoutError(reason))


def _forget_cancellation() -> None:
    """The task goes on with what is behind: it is not one that somebody cancelled (3.11)."""
    task: Any = asyncio.current_task()
    if sys.version_info >= (3, 11):
        task.uncancel()
