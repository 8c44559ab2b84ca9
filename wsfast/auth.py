"""Authentication: handlers that stand before yours and keep out who has not shown a credential.

Before the upgrade, from headers: `Basic` and `Bearer`, to be used as `on_upgrade`. After it, from
the first message: `Authenticated(handler, verify=...)` on a server, and on a client
`Authenticating(handler, credential)`, which answers. Where a browser can put a token stands in
`wsfast.credentials`, what states a session has in `wsfast.session`.
"""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable
from typing import Any

from wsfast.credentials import Basic, Bearer, basic_credentials, bearer_token
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

#: Delivered only to who is authenticated; on_open, on_message and on_close are treated below.
_GATED = frozenset({"on_ping", "on_pong", "on_drain"})

#: Called from here, synchronously.
_CALLED = ("on_authenticated", "on_open", "on_message", "on_close", *_GATED)


class _Timed(Session):
    """A session with its timer."""

    __slots__ = ("timer",)

    def __init__(self, policy: SessionPolicy, now: float) -> None:
        super().__init__(policy, now)
        self.timer: Any = None

    def clear_timer(self) -> None:
        """Nothing is due any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Authenticated:
    """Stands before a server's handler: who does not authenticate never reaches it.

    The handler's on_open comes when the first message was a good credential, and its on_close only
    after that. If it has on_authenticated(ws, grant), that is called at each good credential, the
    first time just before on_open: the place to set `ws.state`. Its other methods pass.

    Where asyncio hosts, its methods may be coroutine functions. Credentials are judged as they
    come, then, and what is delivered waits in line behind what the handler has under way.

    Args:
        handler: any handler, as for `Server`.
        verify, deadline_seconds, on_expiry, grace_seconds, dialect: see `SessionPolicy`; verify
            runs in the loop's thread and must not wait.
        clock: the time in seconds, one that never goes back.

    Attributes:
        handler: as given.

    Raises:
        TypeError, ValueError: see `SessionPolicy`; verify is a coroutine function, which nobody
            here could await.
    """

    handler: object

    def __init__(
        self,
        handler: object,
        *,
        verify: Callable[[str], Grant | None],
        deadline_seconds: float = 10.0,
        on_expiry: str = "close",
        grace_seconds: float = 10.0,
        dialect: Dialect | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_sync(verify)
        dialect = Dialect() if dialect is None else dialect
        policy = SessionPolicy(verify, deadline_seconds, on_expiry, grace_seconds, dialect)
        self._stand_before(handler, policy, clock)

    def around(self, handler: object) -> Authenticated:
        """Another one with the same rules, before another handler."""
        made = object.__new__(type(self))
        made._stand_before(handler, self._policy, self._clock)
        return made

    def _stand_before(
        self, handler: object, policy: SessionPolicy, clock: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._clock = clock
        self.handler = handler
        self._message_callback = getattr(handler, "on_message", None)
        self._sessions: dict[Any, _Timed] = {}
        self._expire = self._on_deadline  # bound once, not once for each timer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.handler, name)
        return functools.partial(self._gate, found) if name in _GATED else found

    def on_open(self, ws: Any) -> None:
        """The connection stands, and waits for its first message."""
        session = self._sessions[ws] = _Timed(self._policy, self._clock())
        self._set_timer(ws, session)

    def on_message(self, ws: Any, message: Any) -> None:
        """Hand the message on, or take it for a credential."""
        session = self._sessions[ws]
        is_new = session.grant is None
        step = session.receive(message, self._clock())
        if step is not DELIVER:
            self._take(ws, session, step, is_new)
            if not step.deliver:
                return
        if self._message_callback is not None:
            self._message_callback(ws, message)

    def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        """Forget the session; the handler hears of it if it heard of its beginning."""
        session = self._sessions.pop(ws)
        session.clear_timer()
        if session.grant is not None:
            self._call("on_close", ws, close_code, close_reason)

    def _gate(self, callback: Callable[..., Any], ws: Any, *details: Any) -> None:
        session = self._sessions.get(ws)
        if session is not None and session.grant is not None:
            callback(ws, *details)

    def _take(self, ws: Any, session: _Timed, step: Step, is_new: bool) -> None:
        """Do what a step asks for, delivering apart."""
        self._set_timer(ws, session)
        if step.send is not None:
            ws.send(step.send)
        if step.close_reason is not None:
            ws.close(UNAUTHORIZED, step.close_reason)
        if step.grant is not None:
            self._call("on_authenticated", ws, step.grant)
            if is_new and ws in self._sessions:  # on_authenticated may have disconnected it
                self._call("on_open", ws)

    def _call(self, name: str, ws: Any, *details: Any) -> None:
        callback = getattr(self.handler, name, None)
        if callback is not None:
            callback(ws, *details)

    def _set_timer(self, ws: Any, session: _Timed) -> None:
        session.clear_timer()
        if session.deadline < math.inf:
            seconds = max(0.0, session.deadline - self._clock())
            session.timer = ws.settings.loop.selector.call_later(seconds, self._expire, ws)

    def _on_deadline(self, ws: Any) -> None:
        session = self._sessions[ws]
        self._take(ws, session, session.tick(self._clock()), False)


class Authenticating:
    """Stands before a client's handler: presents credentials, first of all and when asked.

    Args:
        handler: any handler, as for `connect`; it never sees the server's challenges.
        credential: returns the credential to present now, or None if there is none any more.
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
        if inspect.iscoroutinefunction(callback):
            name = callback.__qualname__
            raise TypeError(f"{name} is a coroutine function: what authenticates calls it in sync")
