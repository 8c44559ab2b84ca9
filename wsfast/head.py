"""The head of an HTTP/1.1 message: the Request and the Response of an opening handshake."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from typing import Any

from wsfast.headers import (
    Extension,
    Headers,
    parse_cookies,
    parse_extensions,
    parse_subprotocols,
)

__all__ = ["Request", "Response"]

_ABSOLUTE_FORM = re.compile(r"(?:https?|wss?)://([^/?]*)", re.IGNORECASE)


class _Fields:
    """Looking up header fields by name, in any case."""

    __slots__ = ()

    headers: Headers

    def header_values(self, name: str) -> list[str]:
        """The values of all lines of this name, in wire order."""
        name = name.lower()
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """The lines of this name joined by commas (RFC 9110 section 5.2), or None."""
        values = self.header_values(name)
        return ", ".join(values) if values else None


@dataclasses.dataclass(slots=True)
class Request(_Fields):
    """What the client asked for. Treat it as read-only.

    Attributes:
        method: GET, once the server side has let it through.
        target: request target as it came: path and query, or a whole URI (RFC 9112 section 3.2).
        version: HTTP version, "1.1".
        headers: (name, value) pairs; names in lower case, values stripped and read as latin-1.
        raw: the head as it came; b"" if the request was not read from one.
        path: the path of the target, percent-encoded as it came.
        query: what follows the question mark, as it came; "" if there is none.
        client_address: (host, port) of the client, port 0 if unknown; set by a server, None if
            it came over a Unix socket.
        scheme: what the client spoke, "http" or "https" as a rule, if a trusted proxy said so.
        forwarded_host: the authority that the client asked for, if a trusted proxy said so.
        tls: the `TlsSession` that it came over (version, alpn, peer_certificate ...), or None.
        path_params: parameters of the path by name, from the template of the route that it took.
    """

    method: str
    target: str
    version: str
    headers: Headers
    raw: bytes = dataclasses.field(default=b"", repr=False, compare=False)
    path: str = dataclasses.field(init=False)
    query: str = dataclasses.field(init=False)
    client_address: tuple[str, int] | None = dataclasses.field(default=None, kw_only=True)
    scheme: str | None = dataclasses.field(default=None, kw_only=True)
    forwarded_host: str | None = dataclasses.field(default=None, kw_only=True)
    tls: Any = dataclasses.field(default=None, init=False, repr=False, compare=False)
    path_params: dict[str, str | int] = dataclasses.field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        resource = self.target
        if resource[:1] != "/":
            resource = _ABSOLUTE_FORM.sub("", resource, count=1)
        path, _, self.query = resource.partition("?")
        self.path = path or "/"

    @property
    def secure(self) -> bool:
        """Whether the client spoke TLS, with us or with a trusted proxy that says so."""
        return self.tls is not None or self.scheme in ("https", "wss")

    @property
    def decoded_path(self) -> str:
        """The path with its percent-encoding undone and read as UTF-8, for display and routing."""
        return urllib.parse.unquote(self.path)

    @property
    def query_params(self) -> dict[str, list[str]]:
        """The query as a form: each name with all its values, blank ones included."""
        return urllib.parse.parse_qs(self.query, keep_blank_values=True)

    @property
    def host(self) -> str:
        """Authority that was asked for: as a trusted proxy says, or of the target if it is a whole
        URI (RFC 9112 section 3.2.2), else the Host header; "" if there is neither."""
        if self.forwarded_host is not None:
            return self.forwarded_host
        absolute = _ABSOLUTE_FORM.match(self.target)
        return absolute[1] if absolute else self.header("host") or ""

    @property
    def origin(self) -> str | None:
        """Origin of the script that connects (section 10.2), None outside browsers."""
        return self.header("origin")

    @property
    def authorization(self) -> str | None:
        """The credentials that were sent (RFC 9110 section 11.6.2)."""
        return self.header("authorization")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name (RFC 6265 section 5.4)."""
        return parse_cookies("; ".join(self.header_values("cookie")))

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, the preferred one first (section 4.1)."""
        value = self.header("sec-websocket-protocol")
        return [] if value is None else parse_subprotocols(value)

    @property
    def extensions(self) -> list[Extension]:
        """The extensions that the client offers, in its order (section 9.1)."""
        value = self.header("sec-websocket-extensions")
        return [] if value is None else parse_extensions(value)


@dataclasses.dataclass(slots=True)
class Response(_Fields):
    """What the server answered.

    Attributes:
        status: HTTP status code.
        reason: what follows it on the status line; often "".
        headers: (name, value) pairs; names in lower case, values stripped and read as latin-1.
        body: what of the body has arrived, as it came (a transfer coding is not removed).
    """

    status: int
    reason: str
    headers: Headers
    body: bytes = b""
