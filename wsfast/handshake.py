"""The opening handshake, both roles: bytes in, what the peer asked or answered out (section 4).

Nothing here does I/O, waits, or knows a deadline. What a peer sends never raises: the server's
side returns a `Request` or a `Refusal` that holds the answer to send, the client's side returns
`Accepted` or `Rejected`. What the caller does wrong raises at the call.

Choices where the RFCs leave one:

- one empty line before the request line is ignored, a second is not (RFC 9112 section 2.2);
- HTTP/1.0, and every version other than 1.1, is answered 505; another method 405; a plain request
  may be HTTP/1.0;
- a request without an upgrade to websocket is answered 426, so is a Sec-WebSocket-Version other
  than 13; without that header it is 400: there is nothing to agree on (sections 4.2.1 and 4.4);
- absolute-form targets are read, and name the host (RFC 9112 section 3.2.2); others are 400;
- a request that announces a body is 400: its end would be taken for frames;
- an answer other than 101 is handed on with what has arrived of its body, redirects included.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping

from wsfast.errors import LocalProtocolError
from wsfast.head import Request, Response
from wsfast.headers import (
    Extension,
    Headers,
    HeadersLike,
    field_lines,
    format_cookies,
    format_extensions,
    format_subprotocols,
    has_element,
    pairs,
    parse_extensions,
    show,
)
from wsfast.headreader import BadHead, RequestReader, ResponseReader
from wsfast.refusal import Refusal, write_response
from wsfast.requirements import (
    KEY,
    SINGLE,
    check_no_body,
    check_request,
    check_upgrade,
    combine,
    is_upgrade,
)
from wsfast.rfc6455 import GUID, VERSION
from wsfast.url import parse_url

__all__ = [
    "Accepted",
    "ClientHandshake",
    "Extension",
    "Headers",
    "Refusal",
    "Rejected",
    "Request",
    "Response",
    "ServerHandshake",
    "accept_key",
]

_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
_OURS = frozenset(
    f"sec-websocket-{name}" for name in ("accept", "extensions", "key", "protocol", "version")
) | {"connection", "upgrade"}
_VERSION = str(VERSION)
_MAX_BODY_BYTES = 16384


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (section 4.2.2, item 5.4)."""
    digest = hashlib.sha1(key.encode("ascii") + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


class ServerHandshake:
    """The server's side of one opening handshake (section 4.2).

    Args:
        max_head_bytes: limit of the request's head in bytes; 431 beyond it.
        max_headers: limit of its header lines; 431 beyond it.
        plain: hand on every request that HTTP allows, whatever its method, also of HTTP/1.0, for a
            server that answers plain ones as well; `check_upgrade` then comes before `accept`.
    """

    def __init__(
        self, *, max_head_bytes: int = 16384, max_headers: int = 128, plain: bool = False
    ) -> None:
        self._reader = RequestReader(max_head_bytes, max_headers, None if plain else ("GET",))
        self._plain = plain
        self._result: Request | Refusal | None = None
        self._fields: dict[str, str] = {}
        self._key = ""
        self._trailing = bytearray()

    @property
    def trailing(self) -> bytes:
        """What arrived behind the head: the first frames of a client that does not wait."""
        return bytes(self._trailing)

    def receive(self, data: bytes) -> Request | Refusal | None:
        """Take the next bytes of the client, cut anywhere.

        Returns:
            None while more bytes are needed, then the request to accept or refuse, or the refusal
            to send. Later calls return the same, and keep the bytes in `trailing`.
        """
        if self._result is not None:
            self._trailing += data
            return self._result
        try:
            head = self._reader.receive(data)
            if head is None:
                return None
            self._trailing += self._reader.trailing
            request = Request(*self._reader.parse(head), raw=head)
            self._fields = check_request(request)
            self._key = "" if self._plain else check_upgrade(self._fields)
            self._result = request
        except BadHead as fault:
            self._result = Refusal(fault.status, fault.reason, fault.headers)
        return self._result

    @property
    def wants_upgrade(self) -> bool:
        """Whether the request, valid or not, asks for a WebSocket rather than for a page."""
        return is_upgrade(self._fields)

    def check_upgrade(self) -> Refusal | None:
        """Whether the request has what section 4.2.1 demands; returns the refusal if not."""
        request = self._result
        try:
            if isinstance(request, Request) and request.version != "1.1":
                reason = f"HTTP/{request.version}, not HTTP/1.1 (RFC 6455 section 4.2.1)"
                raise BadHead(505, reason)
            self._key = check_upgrade(self._fields)
        except BadHead as fault:
            return Refusal(fault.status, fault.reason, fault.headers)
        return None

    @property
    def may_continue(self) -> bool:
        """Whether a plain request may be followed by another on the same connection.

        It may not if the client says so or speaks HTTP/1.0 (RFC 9112 section 9.3), nor if it has a
        body or asks for a WebSocket: nobody reads what follows then, and its bytes would be taken
        for a request.
        """
        fields = self._fields
        return (
            isinstance(self._result, Request)
            and self._result.version == "1.1"
            and not has_element(fields.get("connection", ""), "close")
            and not is_upgrade(fields)
            and "transfer-encoding" not in fields
            and fields.get("content-length", "0") == "0"
        )

    def accept(
        self,
        request: Request,
        *,
        subprotocol: str | None = None,
        extensions: Iterable[Extension] | None = None,
        headers: HeadersLike = (),
    ) -> bytes:
        """Write the 101 (section 4.2.2).

        Args:
            request: what `receive` returned.
            subprotocol: one of those that the client offered, or None.
            extensions: what is used of the extensions that the client offered.
            headers: further headers, such as Set-Cookie.

        Raises:
            LocalProtocolError: the client did not offer this, or a header cannot be sent.
        """
        if request is not self._result:
            raise LocalProtocolError("accept() wants the Request that receive() returned")
        if not self._key:
            raise LocalProtocolError("accept() comes after check_upgrade() (section 4.2.2)")
        extra = ""
        if subprotocol is not None:
            if subprotocol not in request.subprotocols:
                raise _not_offered("subprotocol", subprotocol, request.subprotocols)
            extra = f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
        if extensions:
            extra += _write_extensions(list(extensions), request)
        if headers:
            extra += field_lines(headers, _OURS | _FRAMING)
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(self._key)}\r\n{extra}\r\n"
        ).encode("latin-1")

    def refuse(self, status: int, *, headers: HeadersLike = (), body: bytes = b"") -> bytes:
        """Write any other answer; the connection is closed after it (section 4.2.2, item 5).

        Args:
            status: 200 to 599.
            headers: further headers; Content-Length and Connection: close are added.
            body: what the answer carries; none with 204, 205 and 304.

        Raises:
            LocalProtocolError: the status is outside its range, or a header cannot be sent.
        """
        return write_response(status, headers, body)


def _not_offered(what: str, name: str, offered: list[str]) -> LocalProtocolError:
    return LocalProtocolError(
        f"{what} {show(name)} was not offered, only {offered} (RFC 6455 section 4.2.2)"
    )


def _write_extensions(extensions: list[Extension], request: Request) -> str:
    offered = [name for name, _ in request.extensions]
    for name, _ in extensions:
        if name not in offered:
            raise _not_offered("extension", name, offered)
    return f"Sec-WebSocket-Extensions: {format_extensions(extensions)}\r\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """The server's valid 101.

    Attributes:
        response: its head.
        subprotocol: the one of those offered that the server chose, or None.
        extensions: those of the offered that the server uses, with the parameters it answered.
    """

    response: Response
    subprotocol: str | None
    extensions: list[Extension]


@dataclasses.dataclass(slots=True)
class Rejected:
    """No connection came about, whatever the server answered.

    Attributes:
        reason: why, naming the value, the rule and its section.
        status: HTTP status of the answer, 0 if it was no HTTP response.
        headers: (name, value) pairs of the answer; names in lower case.
        body: what of the body has arrived, at most 16 KiB; `receive` goes on adding to it.
    """

    reason: str
    status: int = 0
    headers: Headers = dataclasses.field(default_factory=list)
    body: bytes = b""


class ClientHandshake:
    """The client's side of one opening handshake (section 4.1).

    Args:
        url: the ws:// or wss:// URL to ask for.
        headers: further headers. Host, Origin, Authorization and Cookie given here replace those
            that the other arguments make.
        cookies: names and values of the Cookie header.
        origin: value of the Origin header.
        subprotocols: names to offer, the preferred one first.
        extensions: names and parameters to offer, the preferred one first.
        max_head_bytes: limit of the answer's head in bytes, interim answers included.
        max_headers: limit of its header lines.
        key: Sec-WebSocket-Key for tests; otherwise 16 bytes of the system's generator.

    Attributes:
        request: the bytes to send.
        host, port, secure, target: where to connect and what is asked for, from the URL.

    Raises:
        InvalidURL: the URL breaks a rule of section 3.
        LocalProtocolError: an argument cannot be sent; the message names it.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: HeadersLike = (),
        cookies: Mapping[str, str] | None = None,
        origin: str | None = None,
        subprotocols: Iterable[str] = (),
        extensions: Iterable[Extension] = (),
        max_head_bytes: int = 16384,
        max_headers: int = 128,
        key: str | None = None,
    ) -> None:
        parsed = parse_url(url)
        self.host, self.port, self.secure = parsed.host, parsed.port, parsed.secure
        self.target = parsed.target
        self._key = base64.b64encode(os.urandom(16)).decode("ascii") if key is None else key
        if not KEY.fullmatch(self._key):
            raise LocalProtocolError(f"key {show(self._key)} is not the base64 of 16 bytes (4.1)")
        offered = list(extensions)
        protocols = format_subprotocols(subprotocols)
        self._subprotocols = protocols.split(", ") if protocols else []
        self._extensions = {name for name, _ in offered}
        made = {
            "Origin": origin,
            "Authorization": parsed.authorization,
            "Cookie": format_cookies(cookies) if cookies else None,
            "Sec-WebSocket-Protocol": protocols or None,
            "Sec-WebSocket-Extensions": format_extensions(offered) or None,
        }
        self.request = self._write_request(parsed.authority, made, headers)
        self._reader = ResponseReader(max_head_bytes, max_headers)
        self._result: Accepted | Rejected | None = None
        self._trailing = bytearray()

    def _write_request(
        self, authority: str, made: dict[str, str | None], headers: HeadersLike
    ) -> bytes:
        given = pairs(headers)
        names = [name.lower() for name, _ in given]
        for name in SINGLE.intersection(names):
            if names.count(name) > 1:
                raise LocalProtocolError(f"header {name} comes twice (RFC 9110 section 5.3)")
        own = {
            "Host": authority,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": self._key,
            "Sec-WebSocket-Version": _VERSION,
            **{name: value for name, value in made.items() if value is not None},
        }
        lines = field_lines((name, own[name]) for name in own if name.lower() not in names)
        lines += field_lines(given, _OURS | _FRAMING)
        return f"GET {self.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    @property
    def trailing(self) -> bytes:
        """What arrived behind the 101: the first frames of the server."""
        return bytes(self._trailing)

    def receive(self, data: bytes) -> Accepted | Rejected | None:
        """Take the next bytes of the server, cut anywhere.

        Returns:
            None while more bytes are needed, then the result. Later calls return the same, and
            keep the bytes: in `trailing`, or in the body of the rejected answer.
        """
        if isinstance(self._result, Accepted):
            self._trailing += data
        elif self._result is not None:
            self._result.body = (self._result.body + data)[:_MAX_BODY_BYTES]
        else:
            try:
                self._result = self._receive_head(data)
            except BadHead as fault:
                self._result = Rejected(fault.reason)
        return self._result

    def receive_eof(self) -> Accepted | Rejected:
        """Take note that the server sends no more: without an answer so far, that is one."""
        if self._result is None:
            self._result = Rejected("the server closed the connection before it answered (4.1)")
        return self._result

    def _receive_head(self, data: bytes) -> Accepted | Rejected | None:
        """Read heads up to the first that is final: interim ones are skipped (RFC 9110 15.2)."""
        while (head := self._reader.receive(data)) is not None:
            status, phrase, version, headers = self._reader.parse(head)
            data = self._reader.trailing
            if status >= 200 or status == 101:
                response = Response(status, phrase, headers)
                return self._judge(response, version, data)
            left = self._reader.max_bytes - len(head)
            self._reader = ResponseReader(left, self._reader.max_headers)
        return None

    def _judge(self, response: Response, version: str, data: bytes) -> Accepted | Rejected:
        try:
            if version != "1.1" and response.status == 101:
                raise BadHead(0, f"the answer is HTTP/{version}, not HTTP/1.1 (4.1)")
            accepted = self._check_response(response)
        except BadHead as fault:
            body = data[:_MAX_BODY_BYTES]
            return Rejected(fault.reason, response.status, response.headers, body)
        self._trailing += data
        return accepted

    def _check_response(self, response: Response) -> Accepted:
        """Check every rule of section 4.1 on the server's answer.

        Raises:
            BadHead: the answer breaks one.
        """
        if response.status != 101:
            raise BadHead(0, f"the server answered {response.status} {response.reason} (4.1)")
        fields = combine(response.headers)
        check_no_body(fields)
        if fields.get("upgrade", "").lower() != "websocket" or not is_upgrade(fields):
            upgrade, connection = fields.get("upgrade", ""), fields.get("connection", "")
            reason = f"Upgrade is {show(upgrade)} and Connection {show(connection)}"
            raise BadHead(0, f"{reason}, not websocket and Upgrade (RFC 6455 section 4.1)")
        accepts = response.header_values("sec-websocket-accept")
        if accepts != [accept_key(self._key)]:
            reason = f"Sec-WebSocket-Accept is {show(', '.join(accepts))}"
            raise BadHead(0, f"{reason}, not {accept_key(self._key)} (RFC 6455 section 4.1)")
        subprotocol = self._check_subprotocol(response)
        return Accepted(response, subprotocol, self._check_extensions(response))

    def _check_subprotocol(self, response: Response) -> str | None:
        values = response.header_values("sec-websocket-protocol")
        if not values:
            return None
        if len(values) > 1 or values[0] not in self._subprotocols:
            reason = f"the server chose the subprotocol {show(', '.join(values))}"
            raise BadHead(0, f"{reason}, offered were {self._subprotocols} (RFC 6455 section 4.1)")
        return values[0]

    def _check_extensions(self, response: Response) -> list[Extension]:
        value = response.header("sec-websocket-extensions")
        if value is None:
            return []
        try:
            extensions = parse_extensions(value)
        except ValueError as error:
            raise BadHead(0, f"Sec-WebSocket-Extensions: {error} (RFC 6455 9.1)") from None
        names = [name for name, _ in extensions]
        if len(set(names)) < len(names) or not self._extensions.issuperset(names):
            reason = f"the server chose the extensions {names}"
            raise BadHead(0, f"{reason}, offered were {sorted(self._extensions)} (RFC 6455 4.1)")
        return extensions
