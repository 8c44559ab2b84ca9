"""A server inside an asyncio loop, in the same thread as every asyncio library.

Two ways, and `Serving` takes the one that fits the loop that runs:

- the loop's own selector is an `EpollSelector` (`new_event_loop` makes such a loop): sockets are
  served inside the loop's select(), at the speed of a loop of our own;
- any other loop, uvloop and plain asyncio among them: an epoll set can itself be polled, so the
  loop watches the selector's descriptor, as a guest of it, and timers come with it. What is sent
  outside of a handler leaves in the loop's next round.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar

from wsfast.drain import Drain
from wsfast.loop import Loop
from wsfast.rfc6455 import CloseCode
from wsfast.selector import EpollSelector
from wsfast.server import Server
from wsfast.tasks import Tasks

__all__ = ["Serving", "event_loop", "new_event_loop", "run", "serve_until_signal"]

_T = TypeVar("_T")


def new_event_loop() -> asyncio.SelectorEventLoop:
    """An asyncio loop whose selector is ours; `asyncio.Runner` takes it as its loop_factory."""
    return asyncio.SelectorEventLoop(EpollSelector())


def event_loop(hosting: str) -> asyncio.AbstractEventLoop:
    """A loop of a kind: "asyncio", as of `new_event_loop`, or "uvloop", which must be installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    if hosting == "uvloop":
        loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        return loop
    return new_event_loop()


def run(main: Coroutine[Any, Any, _T], loop: asyncio.AbstractEventLoop | None = None) -> _T:
    """Run a coroutine to its end, as `asyncio.run` does, on such a loop or a given one."""
    loop = new_event_loop() if loop is None else loop
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        _finish(loop)


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on a loop, and close it."""
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class Serving:
    """A `Server` on the asyncio loop that runs: `async with app.serving(host, port) as serving:`.

    Args:
        handler: an `App`, or a handler as for `Server`; its methods, on_upgrade and pages may be
            coroutine functions.
        host, port: where to listen; port 0 takes a free one, see `addresses`.
        grace_seconds: how long handlers may go on once every connection is closed, before what
            they have under way is cancelled.
        options: further keyword arguments of `Server`, but for loop and tasks.

    Attributes:
        server: the `Server`, once it is started.
        tasks: what its handlers have under way.
    """

    server: Server
    tasks: Tasks

    def __init__(
        self,
        handler: object,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        grace_seconds: float = 5.0,
        **options: Any,
    ) -> None:
        self.grace_seconds = grace_seconds
        self._make = functools.partial(Server, handler, host, port, **options)
        self._guest: EpollSelector | None = None
        self._started = False
        self._closed = False

    @property
    def addresses(self) -> list[Any]:
        """What it listens on, as the socket module gives it."""
        return self.server.addresses

    async def __aenter__(self) -> Serving:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen and serve, until `close`.

        Raises:
            OSError, ValueError, TypeError, LocalProtocolError: as `Server`.
            RuntimeError: it was started before.
        """
        if self._started:
            raise RuntimeError("a Serving starts once; make another one")
        host = asyncio.get_running_loop()
        selector = getattr(host, "_selector", None)
        self._guest = None
        if not isinstance(selector, EpollSelector):
            selector = self._guest = EpollSelector()
        self.tasks = Tasks(host)
        try:
            self.server = self._make(loop=Loop(selector), tasks=self.tasks)
        except BaseException:
            self._leave(host)
            raise
        self._started = True
        if self._guest is not None:
            self._move_in(host, self._guest)

    def _move_in(self, host: asyncio.AbstractEventLoop, guest: EpollSelector) -> None:
        """Have the host look after a selector that it does not know."""

        def flush() -> None:
            if not guest.closed:
                guest.flush()

        host.add_reader(guest.fileno(), guest.select, 0)
        guest.flush_soon = lambda: host.call_soon(flush)

    def _leave(self, host: asyncio.AbstractEventLoop) -> None:
        if self._guest is not None:
            host.remove_reader(self._guest.fileno())
            self._guest.flush_soon = None
            self._guest.close()

    def end_now(self) -> None:
        """Cut what is left of a `close` that is under way, and give handlers no more time."""
        self.grace_seconds = 0.0
        self.server.end_now()

    async def close(
        self,
        close_code: int = CloseCode.GOING_AWAY,
        close_reason: str = "server shutdown",
        **options: Any,
    ) -> None:
        """Stop listening, close every connection, and wait until their handlers are done.

        A connection whose peer does not answer is cut at its closing deadline. A drain that is
        under way goes on as it was begun. A call that is cancelled leaves the rest to the next
        one; when all is closed, a call does nothing.

        Args:
            close_code, close_reason, options: as for `Server.drain`.
        """
        if self._closed or not self._started:
            return
        host = asyncio.get_running_loop()
        done = host.create_future()

        def go_on(drain: Drain) -> None:
            if not done.done():  # nor cancelled with whoever waited
                done.set_result(None)

        self.server.drain_once(close_code, close_reason, **options).when_done(go_on)
        await done
        self.server.cancel_openings()
        await self.tasks.finish(self.grace_seconds)
        if not self._closed:
            self._closed = True
            self._leave(host)


async def serve_until_signal(
    serving: Serving,
    *,
    on_ready: Callable[[], object] | None = None,
    on_stop: Callable[[], object] | None = None,
    **options: Any,
) -> None:
    """Serve until SIGINT or SIGTERM, then `close` and return; a second signal cuts at once.

    Args:
        serving: what is not started yet.
        on_ready: called once connections are accepted.
        on_stop: called when the first signal came.
        options: as for `Serving.close`.
    """
    stopped = asyncio.Event()

    def end() -> None:
        if stopped.is_set():
            serving.end_now()
        stopped.set()

    with _signals(asyncio.get_running_loop(), end):
        async with serving:
            if on_ready is not None:
                on_ready()
            await stopped.wait()
            if on_stop is not None:
                on_stop()
            await serving.close(**options)


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, end: Callable[[], object]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
