"""An answer to the opening handshake that is not 101: the request is refused."""

from __future__ import annotations

import dataclasses
import http

from wsfast.errors import LocalProtocolError
from wsfast.headers import HeadersLike, field_lines, list_elements, pairs

__all__ = ["Refusal", "write_response"]

_NO_BODY = frozenset({204, 205, 304})
_NO_LENGTH = frozenset({204, 304})
_REPLACED = frozenset({"connection", "content-length"})
_PHRASES = {code.value: code.phrase for code in http.HTTPStatus}


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """A request that does not become a connection. Handlers make them too.

    Attributes:
        status: HTTP status of the answer, 200 to 599.
        reason: why, naming the value, the rule and its section.
        headers: what the answer carries beside Content-Length and Connection: close.
        body: what the answer carries; None sends the reason as plain text.
        response: the whole answer, ready to be sent; the connection is closed after it.

    Raises:
        LocalProtocolError: the answer cannot be sent; see `write_response`.
    """

    status: int
    reason: str = ""
    headers: HeadersLike = ()
    body: bytes | None = None
    response: bytes = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        headers, body = self.headers, self.body
        if body is None:
            body = b""
            if self.reason and self.status not in _NO_BODY:
                body = f"{self.reason}\n".encode()
                headers = [*pairs(headers), ("Content-Type", "text/plain; charset=utf-8")]
        object.__setattr__(self, "response", write_response(self.status, headers, body))


def write_response(status: int, headers: HeadersLike, body: bytes, *, keep: bool = False) -> bytes:
    """Write an answer, with Content-Length, and with Connection: close unless it is kept.

    Args:
        status: 200 to 599.
        headers: further headers; options of a Connection header are kept beside close.
        body: what the answer carries; none with 204, 205 and 304.
        keep: the connection goes on after it.

    Raises:
        LocalProtocolError: the status is outside its range, or a header cannot be sent.
    """
    if not 200 <= status <= 599:
        raise LocalProtocolError(f"status {status} refuses nothing, 200 to 599 does (RFC 9110 15)")
    if body and status in _NO_BODY:
        raise LocalProtocolError(f"status {status} has no body (RFC 9110 section 15)")
    given = pairs(headers)
    options = [value for name, value in given if name.lower() == "connection"]
    written = [(name, value) for name, value in given if name.lower() not in _REPLACED]
    if status not in _NO_LENGTH:
        written.append(("Content-Length", str(len(body))))
    if not keep and "close" not in list_elements(",".join(options)):
        options.append("close")
    if options:
        written.append(("Connection", ", ".join(options)))
    lines = field_lines(written, frozenset({"transfer-encoding"}))
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{lines}\r\n".encode("latin-1") + body
