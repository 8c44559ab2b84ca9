"""Credentials of a request: Basic (RFC 7617) and Bearer (RFC 6750), read strictly and checked.

Browsers cannot set the Authorization header of a WebSocket. What is left to a page:

- **A cookie** of the same site. It goes with the handshake by itself, also with one that a foreign
  page starts: use it only together with an Origin policy that names pages (never "any").
- **A subprotocol** that carries a token, beside a real one: `new WebSocket(url, ["chat.v1",
  "bearer." + token])`. The server must choose the real one (a browser fails the connection if
  none is chosen, and the token would come back in the answer if it were). A token may hold only
  letters, digits and !#$%&'*+-.^_`|~ there, which base64url does; proxies may log the header.
- **The first message** after the upgrade: see `wsfast.auth`. Nothing is logged, tokens may be of
  any kind, and they can be renewed.
- **The query** of the URL: not supported here, since URLs stand in every log on the way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import inspect
import os
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from wsfast.coroutines import is_asynchronous
from wsfast.head import Request
from wsfast.headers import is_token
from wsfast.refusal import Refusal

__all__ = ["Basic", "Bearer", "basic_credentials", "bearer_token"]

_TOKEN68 = re.compile(r"(basic|bearer) +([A-Za-z0-9._~+/\-]+=*)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REALM = re.compile(r"[\x20-\x7e]*")

#: What a check says: None lets the request in, a refusal does not; of an async one once awaited.
_Verdict = Refusal | None | Awaitable[Refusal | None]


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """The user and the password of an Authorization header (RFC 7617 section 2).

    Returns:
        Both as str; the password may be empty and may hold colons. None if there is no such
        header, more than one, another scheme, or its value is outside the grammar: not the
        canonical base64 of UTF-8 text with a colon and without control characters.
    """
    value = _token68(request, "basic")
    if value is None:
        return None
    try:
        decoded = base64.b64decode(value, validate=True)
        text = decoded.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    if base64.b64encode(decoded).decode("ascii") != value or _CONTROL.search(text):
        return None  # bits beyond the last byte: two spellings of one password
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def bearer_token(
    request: Request, *, cookie: str | None = None, subprotocol_prefix: str | None = None
) -> str | None:
    """The bearer token of a request (RFC 6750 section 2.1).

    Args:
        request: what the client asked for.
        cookie: name of a cookie to look at if there is no Authorization header.
        subprotocol_prefix: as "bearer.": an offered subprotocol that begins so carries the token
            in what follows, if there is no Authorization header.

    Returns:
        The token, or None if none came, or more than one header, or one outside the grammar.
    """
    if request.authorization is not None:
        return _token68(request, "bearer")
    if subprotocol_prefix is not None:
        offered = [name for name in request.subprotocols if name.startswith(subprotocol_prefix)]
        if offered:
            return offered[0][len(subprotocol_prefix) :] or None if len(offered) == 1 else None
    return request.cookies.get(cookie) or None if cookie is not None else None


def _token68(request: Request, scheme: str) -> str | None:
    """The token68 of the one Authorization header, if it is of this scheme (RFC 9110 11.4)."""
    values = request.header_values("authorization")
    parts = _TOKEN68.fullmatch(values[0]) if len(values) == 1 else None
    return parts[2] if parts is not None and parts[1].lower() == scheme else None


class _Secrets:
    """Secrets by their owner, comparable in a time that says nothing about them.

    What is kept and compared are digests with a key of this process: a lookup by one of them tells
    a peer nothing, and all are of one length.
    """

    __slots__ = ("_digests", "_key", "_nobody")

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._key = os.urandom(32)
        self._nobody = os.urandom(32)
        self._digests = {
            self._digest(owner): self._digest(secret) for owner, secret in secrets.items()
        }

    def holds(self, owner: str, secret: str) -> bool:
        """Whether this is the owner's secret; the work is the same if nobody is called so."""
        expected = self._digests.get(self._digest(owner), self._nobody)
        return hmac.compare_digest(expected, self._digest(secret))

    def _digest(self, text: str) -> bytes:
        raw = text.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(raw, digest_size=32, key=self._key).digest()


class _Check:
    """Lets a request in if `verify` says so, and answers 401 if not.

    Attributes:
        asynchronous: verify is a coroutine function: calling this may return an awaitable.
    """

    __slots__ = ("_denied", "_missing", "_verify", "asynchronous")

    def __init__(self, verify: Callable[..., Any], challenge: str, error: str) -> None:
        if not callable(verify):
            raise TypeError(f"verify is {verify!r}, which cannot be called")
        missing = [("WWW-Authenticate", challenge)]
        denied = [("WWW-Authenticate", challenge + error)]
        self._verify = verify
        self.asynchronous = is_asynchronous(verify)
        self._missing = Refusal(401, "credentials are missing (RFC 9110 section 11.6)", missing)
        self._denied = Refusal(401, "the credentials are not accepted (RFC 9110 11.6)", denied)

    def _judge(self, request: Request, *credentials: str) -> _Verdict:
        if not credentials:
            return self._denied if request.authorization is not None else self._missing
        verdict = self._verify(*credentials)
        if inspect.isawaitable(verdict):
            return self._wait(verdict)
        return None if verdict else self._denied

    async def _wait(self, verdict: Awaitable[Any]) -> Refusal | None:
        return None if await verdict else self._denied


class Basic(_Check):
    """Asks for a user and a password; to be used as `on_upgrade`.

    Browsers ask their user for these on pages, but not for WebSockets: it is for programs. The
    password goes with each handshake as it is, so only over TLS.

    Args:
        users: passwords by user, or verify(user, password), sync or async, whose true result
            lets the request in. Passwords given here are compared in constant time; a function
            has to see to that itself, for users that it does not know as well.
        realm: what the credentials are for, printable ASCII.

    Calling it with a request returns None or the refusal, 401 with WWW-Authenticate; an awaitable
    of these if verify is async.

    Raises:
        ValueError: the realm is not printable ASCII, or a user name holds a colon.
        TypeError: users is neither a mapping nor a function.
    """

    __slots__ = ()

    def __init__(
        self, users: Mapping[str, str] | Callable[[str, str], Any], realm: str = "websocket"
    ) -> None:
        if isinstance(users, Mapping):
            for user in users:
                if ":" in user:
                    raise ValueError(f"user {user!r} holds a colon (RFC 7617 section 2)")
            users = _Secrets(users).holds
        super().__init__(users, f'Basic realm={_quote(realm)}, charset="UTF-8"', "")

    def __call__(self, request: Request) -> _Verdict:
        """Check a request."""
        return self._judge(request, *(basic_credentials(request) or ()))


class Bearer(_Check):
    """Asks for a bearer token; to be used as `on_upgrade`.

    Args:
        tokens: those that are accepted, or verify(token), sync or async, whose true result lets
            the request in. Tokens given here are compared in constant time.
        realm: what the token is for, printable ASCII.
        cookie, subprotocol_prefix: where browsers may put the token, as for `bearer_token`.

    Calling it returns as `Basic` does.

    Raises:
        ValueError: the realm is not printable ASCII, or cookie or prefix is no token.
        TypeError: tokens is one str, or neither a collection nor a function.
    """

    __slots__ = ("_cookie", "_prefix")

    def __init__(
        self,
        tokens: Collection[str] | Callable[[str], Any],
        realm: str = "websocket",
        *,
        cookie: str | None = None,
        subprotocol_prefix: str | None = None,
    ) -> None:
        for name in (cookie, subprotocol_prefix):
            if name is not None and not is_token(name):
                raise ValueError(f"cookie or subprotocol {name!r} is no token (RFC 9110 5.6.2)")
        if isinstance(tokens, str | bytes):
            raise TypeError("tokens is one str or bytes, not a collection of str")
        self._cookie = cookie
        self._prefix = subprotocol_prefix
        verify = tokens if callable(tokens) else _known(tokens)
        super().__init__(verify, f"Bearer realm={_quote(realm)}", ', error="invalid_token"')

    def __call__(self, request: Request) -> _Verdict:
        """Check a request."""
        token = bearer_token(request, cookie=self._cookie, subprotocol_prefix=self._prefix)
        return self._judge(request, *(() if token is None else (token,)))


def _known(tokens: Collection[str]) -> Callable[[str], bool]:
    """A token is its own owner."""
    secrets = _Secrets({token: token for token in tokens})
    return lambda token: secrets.holds(token, token)


def _quote(realm: str) -> str:
    if not _REALM.fullmatch(realm):
        raise ValueError(f"realm {realm!a} is not printable ASCII (RFC 9110 section 11.5)")
    escaped = realm.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
