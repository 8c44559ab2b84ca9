"""Authentication: handlers that stand before yours and keep out who has not shown a credential.

Before the upgrade, from headers: `Basic` and `Bearer`, to be used as `on_upgrade`. After it, from
the first message: `Authenticated(handler, verify=...)` on a server, and on a client
`Authenticating(handler, credential)`, which answers. Where a browser can put a token stands in
`wsfast.credentials`, what states a session has in `wsfast.session`.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from wsfast.coroutines import is_asynchronous
from wsfast.credentials import Basic, Bearer, basic_credentials, bearer_token
from wsfast.errors import LocalProtocolError
from wsfast.line import Line
from wsfast.session import (
    DELIVER,
    UNAUTHORIZED,
    ClientSession,
    Dialect,
    Grant,
    Session,
    SessionPolicy,
    SessionState,
    Step,
    Verdict,
)

__all__ = [
    "UNAUTHORIZED",
    "Authenticated",
    "Authenticating",
    "Basic",
    "Bearer",
    "ClientSession",
    "Dialect",
    "Grant",
    "Session",
    "SessionPolicy",
    "SessionState",
    "Step",
    "basic_credentials",
    "bearer_token",
]

#: Delivered only to who is authenticated (on_authenticated: of another one that stands before this
#: one); on_open, on_message and on_close are treated below.
_GATED = frozenset({"on_ping", "on_pong", "on_drain", "on_authenticated"})

#: Called from here, synchronously.
_CALLED = ("on_open", "on_message", "on_close", *_GATED)

#: Of a message that waited: it has to go on waiting.
_AGAIN = object()

_log = logging.getLogger("wsfast")


class _Awaiting(Protocol):
    """What awaits things for a gate; `wsfast.tasks.Tasks` does."""

    def answer(self, awaitable: Awaitable[Any], done: Callable[[Any], None], /) -> Any:
        """Await something; done(task) is called with what came of it. Returns the task."""


class _Gated(Session):
    """A session with its timer, and with what waits while its credential is verified.

    Attributes:
        timer: of its deadline, or None.
        is_open: the handler has heard of it.
        task: awaits what verify returned, or None.
        line: what waits for that, or None.
    """

    __slots__ = ("is_open", "line", "task", "timer")

    def __init__(self, policy: SessionPolicy, now: float) -> None:
        super().__init__(policy, now)
        self.timer: Any = None
        self.is_open = False
        self.task: Any = None
        self.line: Line | None = None

    def clear_timer(self) -> None:
        """Nothing is due any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def wait(self, ws: Any, callback: Callable[..., Any], *details: Any) -> None:
        """Let a call wait until the credential is verified."""
        if self.line is None:
            self.line = Line("credential")
        self.line.push(ws, (callback, details))

    def give_up(self, ws: Any) -> None:
        """Wait for nothing any more."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
        line, self.line = self.line, None
        if line is not None:
            line.drop(ws)


class Authenticated:
    """Stands before a server's handler: who does not authenticate never reaches it.

    The handler's on_open comes when the first message was a good credential, and its on_close only
    after that. If it has on_authenticated(ws, grant), that is called at each good credential, the
    first time just before on_open: the place to set `ws.state`. Its other methods pass.

    Where asyncio hosts, its methods may be coroutine functions, and so may be verify. Credentials
    are judged as they come, then, and what is delivered waits in line behind what the handler has
    under way. While verify runs, deadlines go on, and what comes behind the credential waits; if
    the connection ends meanwhile, verify is cancelled and what waits is dropped. A newer one holds
    nothing up, but only one is verified at a time: yet another, and what is behind it, waits.

    Args:
        handler: any handler, as for `Server`.
        verify, deadline_seconds, on_expiry, grace_seconds, dialect: see `SessionPolicy`; a verify
            that is no coroutine function runs in the loop's thread and must not wait.
        clock: the time in seconds, one that never goes back.

    Attributes:
        handler: as given.

    Raises:
        TypeError, ValueError: see `SessionPolicy`.
    """

    handler: object

    def __init__(
        self,
        handler: object,
        *,
        verify: Callable[[str], Verdict],
        deadline_seconds: float = 10.0,
        on_expiry: str = "close",
        grace_seconds: float = 10.0,
        dialect: Dialect | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        dialect = Dialect() if dialect is None else dialect
        self._policy = SessionPolicy(verify, deadline_seconds, on_expiry, grace_seconds, dialect)
        self._clock = clock
        self._tasks: _Awaiting | None = None
        self._stand_before(handler)

    def around(self, handler: object, tasks: _Awaiting | None = None) -> Authenticated:
        """Another one with the same rules, before another handler.

        Args:
            handler: any handler.
            tasks: awaits what verify returns; without it an awaitable is an error.
        """
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        made._tasks = tasks
        made._stand_before(handler)
        return made

    @property
    def asynchronous(self) -> bool:
        """Whether verify is a coroutine function, which asyncio has to host."""
        return is_asynchronous(self._policy.verify)

    def _stand_before(self, handler: object) -> None:
        self.handler = handler
        self._message_callback = getattr(handler, "on_message", None)
        self._sessions: dict[Any, _Gated] = {}
        self._expire = self._on_deadline  # bound once, not once for each timer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.handler, name)
        return functools.partial(self._gate, found) if name in _GATED else found

    def on_open(self, ws: Any) -> None:
        """The connection stands, and waits for its first message."""
        session = self._sessions[ws] = _Gated(self._policy, self._clock())
        self._set_timer(ws, session)

    def on_message(self, ws: Any, message: Any) -> None:
        """Hand the message on, or take it for a credential, or let it wait for one."""
        session = self._sessions[ws]
        if session.line is not None:
            session.wait(ws, self._retry, message)
            return
        step = session.receive(message, self._clock())
        if step is DELIVER:
            if self._message_callback is not None:
                self._message_callback(ws, message)
        elif self._follow(ws, session, step, message) is _AGAIN:
            session.wait(ws, self._retry, message)

    def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        """Forget the session; the handler hears of it if it heard of its beginning."""
        session = self._sessions.pop(ws)
        session.clear_timer()
        session.give_up(ws)
        if session.grant is not None:
            self._call("on_close", ws, close_code, close_reason)

    def _gate(self, callback: Callable[..., Any], ws: Any, *details: Any) -> None:
        session = self._sessions.get(ws)
        if session is None:
            return
        if session.line is not None or (session.verifying and session.grant is None):
            session.wait(ws, callback, *details)
        elif session.grant is not None:
            callback(ws, *details)

    def _retry(self, ws: Any, message: Any) -> object:
        """A message that waited: _AGAIN if it has to wait on."""
        session = self._sessions[ws]
        return self._follow(ws, session, session.receive(message, self._clock()), message)

    def _follow(self, ws: Any, session: _Gated, step: Step, message: Any) -> object:
        """Do what a step asks for; _AGAIN: the message has to wait."""
        if step.hold:
            return _AGAIN
        if step is not DELIVER:
            self._take(ws, session, step)
        if step.deliver and self._message_callback is not None:
            self._message_callback(ws, message)
        return None

    def _take(self, ws: Any, session: _Gated, step: Step) -> None:
        """Do what a step asks for, delivering apart."""
        self._set_timer(ws, session)
        if step.verify is not None:
            self._await(ws, session, step.verify)
        if step.send is not None:
            ws.send(step.send)
        if step.close_reason is not None:
            session.give_up(ws)
            ws.close(UNAUTHORIZED, step.close_reason)
        if step.grant is not None:
            self._call("on_authenticated", ws, step.grant)
            if not session.is_open and ws in self._sessions:  # unless that disconnected it
                session.is_open = True
                self._call("on_open", ws)

    def _await(self, ws: Any, session: _Gated, verdict: Awaitable[Grant | None]) -> None:
        if self._tasks is None:
            if inspect.iscoroutine(verdict):
                verdict.close()
            raise LocalProtocolError("verify returned an awaitable, and asyncio does not host")
        session.task = self._tasks.answer(
            verdict, functools.partial(self._on_verified, ws, session)
        )

    def _on_verified(self, ws: Any, session: _Gated, outcome: Any) -> None:
        """Go on with what verify's awaitable came to, and with what waited for it."""
        if session.task is not outcome:
            return  # the session has ended in the meantime
        session.task = None
        try:
            if outcome.cancelled():
                raise LocalProtocolError("verify was cancelled")
            self._take(ws, session, session.judge(outcome.result(), self._clock()))
            self._go_on(ws, session)
        except Exception as error:
            _log.exception("a handler failed; its connection is closed with 1011")
            session.give_up(ws)
            ws.fail(error)

    def _go_on(self, ws: Any, session: _Gated) -> None:
        """Deliver what waits, up to the next credential that has to."""
        line = session.line
        while line is not None and session.line is line and len(line):
            call = line.pop(ws)
            if call[0](ws, *call[1]) is _AGAIN:
                line.put_back(call)
                return
        if session.line is line:
            session.line = None

    def _call(self, name: str, ws: Any, *details: Any) -> None:
        callback = getattr(self.handler, name, None)
        if callback is not None:
            callback(ws, *details)

    def _set_timer(self, ws: Any, session: _Gated) -> None:
        session.clear_timer()
        if session.deadline < math.inf:
            seconds = max(0.0, session.deadline - self._clock())
            session.timer = ws.settings.loop.selector.call_later(seconds, self._expire, ws)

    def _on_deadline(self, ws: Any) -> None:
        session = self._sessions[ws]
        self._take(ws, session, session.tick(self._clock()))


class Authenticating:
    """Stands before a client's handler: presents credentials, first of all and when asked.

    Args:
        handler: any handler, as for `connect`; it never sees the server's challenges.
        credential: returns the credential to present now, or None if there is none now: one that
            has to be waited for is presented by `renew` when it is there.
        dialect: how credentials look on the wire; the server's.

    Raises:
        TypeError: credential, or a method of the handler, is a coroutine function.
    """

    def __init__(
        self,
        handler: object,
        credential: Callable[[], str | None],
        *,
        dialect: Dialect | None = None,
    ) -> None:
        _check_sync(credential, *(getattr(handler, name, None) for name in _CALLED))
        self._session = ClientSession(credential, dialect)
        self._handler = handler
        self._message_callback = getattr(handler, "on_message", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def on_open(self, ws: Any) -> None:
        """Authenticate; what the handler sends now comes behind it."""
        self.renew(ws)
        callback = getattr(self._handler, "on_open", None)
        if callback is not None:
            callback(ws)

    def on_message(self, ws: Any, message: Any) -> None:
        """Answer the message if it asks for a credential, hand it on if not."""
        step = self._session.receive(message)
        if step.send is not None:
            ws.send(step.send)
        elif step.deliver and self._message_callback is not None:
            self._message_callback(ws, message)

    def renew(self, ws: Any) -> None:
        """Present a fresh credential now, unasked."""
        step = self._session.present()
        if step.send is not None:
            ws.send(step.send)


def _check_sync(*callbacks: Any) -> None:
    for callback in callbacks:
        if is_asynchronous(callback):
            raise TypeError(
                f"{callback!r} is a coroutine function, and a client has no coroutines"
            )
