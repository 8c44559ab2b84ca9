"""A session: authentication after the upgrade, for which RFC 6455 has no rule.

Browsers cannot set headers on a WebSocket, and a connection outlives the credential that opened
it. So the client authenticates with its first message, and the server can ask for a new
credential later, in band:

    WAITING ---- good credential ----> AUTHENTICATED ---- it expires ----> REAUTHENTICATING
       |                                 ^        |      and we ask            |       |
       |                                 |        |                            |       |
       |                                 +--------|----- good credential ------+       |
       |                                          |                                    |
       +---- wrong, or too late ----> ENDED <-----+---- expired, or wrong <------------+

WAITING delivers nothing: whatever comes first and is no credential ends the session. While
REAUTHENTICATING messages are delivered on. ENDED closes with 4401 and a reason, and delivers
nothing any more. A client may renew its credential before it is asked to; it stays who it was.

`verify` may answer with an awaitable. The session stays as it is, then, until `judge` is told what
came of it, and deadlines go on. Only one credential is verified at a time: what comes behind the
first one, and behind a second one later, has to wait.

What a credential looks like on the wire is the `Dialect`'s business; both ends share it. Nothing
here does I/O or reads a clock: `now` is passed in, in seconds of a clock that never goes back.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

__all__ = [
    "DELIVER",
    "UNAUTHORIZED",
    "ClientSession",
    "Dialect",
    "Grant",
    "Session",
    "SessionPolicy",
    "SessionState",
    "Step",
]

#: The close code of a session that ends: 4000 to 4999 are the application's (RFC 6455 7.4.2), and
#: 4401 is what most have taken for HTTP's 401.
UNAUTHORIZED = 4401


class SessionState(enum.Enum):
    """How far a session is."""

    WAITING = "waiting"
    AUTHENTICATED = "authenticated"
    REAUTHENTICATING = "reauthenticating"
    ENDED = "ended"


# Looking up a member of an Enum costs as much as all the rest of a step.
_WAITING, _AUTHENTICATED = SessionState.WAITING, SessionState.AUTHENTICATED
_REAUTHENTICATING, _ENDED = SessionState.REAUTHENTICATING, SessionState.ENDED


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """What `verify` says of a good credential.

    Attributes:
        subject: whose it is, anything that compares; a later credential must be of the same.
        seconds: how long from now on it is valid, or None: as long as the connection.
    """

    subject: Any = None
    seconds: float | None = None


class Step(NamedTuple):
    """What is to be done now.

    Attributes:
        deliver: hand the message on to the application.
        grant: what was granted just now, or None.
        send: a message to send to the peer, or None.
        close_reason: close with 4401 and this reason, or None.
        verify: what verify answered, to be awaited; `Session.judge` takes its result. Or None.
        hold: keep the message, and whatever comes after it, and give it again after `judge`.
    """

    deliver: bool = False
    grant: Grant | None = None
    send: str | bytes | None = None
    close_reason: str | None = None
    verify: Awaitable[Grant | None] | None = None
    hold: bool = False


#: Nothing but deliver it.
DELIVER = Step(deliver=True)
_NOTHING = Step()
_HOLD = Step(hold=True)

#: What `verify` answers, at once or once awaited.
Verdict = Grant | None | Awaitable[Grant | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """How credentials look on the wire: text messages, told by how they begin.

    A subclass speaks another language, JSON as an example, by overriding the three methods.

    Attributes:
        prefix: what a credential's message begins with; the credential follows.
        challenge: the message with which a server asks for a new credential.
    """

    prefix: str = "authenticate "
    challenge: str = "reauthenticate"

    def read(self, message: object) -> str | None:
        """The credential that a message of the client carries, or None; it must not raise."""
        if isinstance(message, str) and message.startswith(self.prefix):
            return message[len(self.prefix) :]
        return None

    def write(self, credential: str) -> str | bytes:
        """The message that carries a credential."""
        return self.prefix + credential

    def asks(self, message: object) -> bool:
        """Whether a message of the server asks for a new credential; it must not raise."""
        return message == self.challenge


@dataclasses.dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What all sessions of a server share.

    Attributes:
        verify: gets the credential, str, and returns a `Grant`, or None: it is not good. Or an
            awaitable of these.
        deadline_seconds: how long the first message may take.
        on_expiry: what follows when a grant expires: "close", or "ask" for a new credential.
        grace_seconds: how long the answer to that may take.
        dialect: how credentials look on the wire.

    Raises:
        TypeError: verify cannot be called.
        ValueError: a number is not above 0 and finite, or on_expiry is another word.
    """

    verify: Callable[[str], Verdict]
    deadline_seconds: float = 10.0
    on_expiry: str = "close"
    grace_seconds: float = 10.0
    dialect: Dialect = Dialect()

    def __post_init__(self) -> None:
        if not callable(self.verify):
            raise TypeError(f"verify is {self.verify!r}, which cannot be called")
        for name in ("deadline_seconds", "grace_seconds"):
            seconds = getattr(self, name)
            if not 0 < seconds < math.inf:
                raise ValueError(f"{name} is {seconds}, not above 0 and finite")
        if self.on_expiry not in ("close", "ask"):
            raise ValueError(f'on_expiry is {self.on_expiry!r}, not "close" or "ask"')


class Session:
    """The server's side of one session.

    Args:
        policy: what it shares with its siblings.
        now: the time at which the connection opened.

    Attributes:
        state: how far it is.
        grant: what was granted last, or None.
        deadline: when `tick` is to be called, in the seconds of `now`; infinite: never.
        verifying: a credential was given to verify, and `judge` was not called yet.
    """

    __slots__ = ("_policy", "_read", "deadline", "grant", "state", "verifying")

    def __init__(self, policy: SessionPolicy, now: float) -> None:
        self._policy = policy
        self._read = policy.dialect.read
        self.state = _WAITING
        self.grant: Grant | None = None
        self.verifying = False
        self.deadline = now + policy.deadline_seconds

    def receive(self, message: object, now: float) -> Step:
        """Take a message of the client.

        Raises:
            TypeError: verify returned neither a `Grant` nor None. What verify itself raises also
                passes; the session is then as it was, and delivers nothing that it did not.
        """
        credential = self._read(message)
        if credential is None and now < self.deadline and self.state is _AUTHENTICATED:
            return DELIVER  # nearly every message
        due = self.tick(now)
        if self.state is _ENDED:
            return due
        if self.verifying and (credential is not None or self.state is _WAITING):
            step = _HOLD
        elif credential is not None:
            step = self._verify(credential, now)
        elif self.state is _WAITING:
            step = self._end("the first message is no credential")
        else:
            step = DELIVER
        ended = step.close_reason is not None
        return step if due.send is None or ended else step._replace(send=due.send)

    def tick(self, now: float) -> Step:
        """Take note of the time; to be called at the deadline, or later."""
        if now < self.deadline:
            return _NOTHING
        policy = self._policy
        happened = "was verified" if self.verifying else "came"
        if self.state is _WAITING:
            return self._end(f"no credential {happened} within {policy.deadline_seconds:g} s")
        if self.state is _REAUTHENTICATING:
            return self._end(f"no new credential {happened} within {policy.grace_seconds:g} s")
        if policy.on_expiry == "close":
            return self._end("the credential has expired")
        # From the expiry, not from now: a loop that was late gives no longer grace.
        self.deadline += policy.grace_seconds
        if now >= self.deadline:
            return self._end("the credential has expired")
        self.state = _REAUTHENTICATING
        return _NOTHING if self.verifying else Step(send=policy.dialect.challenge)

    def judge(self, grant: Grant | None, now: float) -> Step:
        """Take what verify's awaitable came to; if it raised, there is nothing to judge.

        Raises:
            TypeError: neither a `Grant` nor None. The session is then as it was.
        """
        if not isinstance(grant, Grant | None):
            raise TypeError(f"verify returned {type(grant).__name__}, neither a Grant nor None")
        due = self.tick(now)  # it may be too late
        if self.state is _ENDED:
            return due
        self.verifying = False
        if grant is None:
            return self._end("the credential is not accepted")
        if grant.seconds is not None and not grant.seconds > 0:
            return self._end("the credential has expired")
        if self.grant is not None and self.grant.subject != grant.subject:
            return self._end("the new credential is somebody else's")
        self.grant = grant
        self.state = _AUTHENTICATED
        self.deadline = math.inf if grant.seconds is None else now + grant.seconds
        return Step(grant=grant)

    def _verify(self, credential: str, now: float) -> Step:
        verdict = self._policy.verify(credential)
        if inspect.isawaitable(verdict):
            self.verifying = True
            return Step(verify=verdict)
        return self.judge(verdict, now)

    def _end(self, reason: str) -> Step:
        self.state = _ENDED
        self.verifying = False
        self.deadline = math.inf
        return Step(close_reason=reason)


class ClientSession:
    """The client's side of one session: presents credentials, first and when asked.

    Args:
        credential: returns the credential to present now, a fresh one each time, or None if
            there is none any more: the server will then close.
        dialect: how credentials look on the wire.
    """

    __slots__ = ("_credential", "_dialect")

    def __init__(
        self, credential: Callable[[], str | None], dialect: Dialect | None = None
    ) -> None:
        if not callable(credential):
            raise TypeError(f"credential is {credential!r}, which cannot be called")
        self._credential = credential
        self._dialect = Dialect() if dialect is None else dialect

    def present(self) -> Step:
        """The credential, as a message to send: first of all, or to renew it unasked."""
        credential = self._credential()
        return _NOTHING if credential is None else Step(send=self._dialect.write(credential))

    def receive(self, message: object) -> Step:
        """Take a message of the server: answer it if it asks, deliver it if not."""
        return self.present() if self._dialect.asks(message) else DELIVER
