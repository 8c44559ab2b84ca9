"""What a server answers to a plain HTTP request: a response, a redirect, and their bytes."""

from __future__ import annotations

import dataclasses
import email.utils
import functools
import time
from typing import Any

from wsfast.errors import LocalProtocolError
from wsfast.headers import Headers, HeadersLike, list_elements, pairs
from wsfast.refusal import Refusal, write_response

__all__ = ["Response", "dated", "redirect", "response_for"]

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_BODY = frozenset({204, 205, 304})


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """An answer to a plain request.

    The connection is kept for another request if the client allows it, unless `headers` say
    Connection: close.

    Attributes:
        status: HTTP status, 200 to 599.
        body: str is sent as UTF-8.
        headers: further headers; Content-Length, Date and Connection are added.
        content_type: of the body; None: `text/plain; charset=utf-8` for str,
            `application/octet-stream` for bytes, unless `headers` name one.

    Raises:
        LocalProtocolError: the status is outside its range or has no body, or a header cannot be
            sent, as it would inject another.
        TypeError: the body is neither str nor bytes.
    """

    status: int = 200
    body: str | bytes = b""
    headers: HeadersLike = ()
    content_type: str | None = None
    _headers: Headers = dataclasses.field(init=False, repr=False, compare=False)
    _written: bytes = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        headers = pairs(self.headers)
        named = any(name.lower() == "content-type" for name, _ in headers)
        if named and self.content_type is not None:
            raise LocalProtocolError(
                f"content_type is {self.content_type!r}, and headers hold a Content-Type as well"
            )
        if not named and self.status not in _NO_BODY:
            default = _TEXT if isinstance(self.body, str) else _BYTES
            headers.append(("Content-Type", self.content_type or default))
        object.__setattr__(self, "_headers", headers)
        object.__setattr__(self, "_written", write_response(self.status, headers, self._payload))

    @property
    def _payload(self) -> bytes:
        if isinstance(self.body, str):
            return self.body.encode()
        if not isinstance(self.body, bytes):
            raise TypeError(f"the body is {type(self.body).__name__}, neither str nor bytes")
        return self.body

    @property
    def closes(self) -> bool:
        """Whether it says itself that the connection ends after it."""
        values = [value for name, value in self._headers if name.lower() == "connection"]
        return "close" in list_elements(",".join(values))

    def encode(self, *, head_only: bool = False, keep: bool = False) -> bytes:
        """The bytes to send, but for the Date; see `dated`.

        Args:
            head_only: for HEAD: all headers, Content-Length included, and no body (RFC 9110
                section 9.3.2).
            keep: the connection goes on after it, so Connection: close is not added.
        """
        written, payload = self._written, self._payload
        if keep:
            written = write_response(self.status, self._headers, payload, keep=True)
        return written[: len(written) - len(payload) * head_only]


def dated(response: bytes) -> bytes:
    """A response with the Date that RFC 9110 section 6.6.1 asks for, unless it has one."""
    line, _, rest = response.partition(b"\r\n")
    if b"\r\ndate:" in response[: response.index(b"\r\n\r\n")].lower():
        return response
    return b"%b\r\nDate: %b\r\n%b" % (line, _date(int(time.time())), rest)


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """An HTTP-date (RFC 9110 section 5.6.7)."""
    return email.utils.formatdate(second, usegmt=True).encode("ascii")


def redirect(location: str, status: int = 307) -> Refusal:
    """Send whoever asks to another place. Browsers do not follow it for a WebSocket.

    Args:
        location: URL or path.
        status: 301, 302, 303, 307 or 308.

    Raises:
        LocalProtocolError: the status redirects nobody, or the location is not one line.
    """
    if status not in _REDIRECTS:
        raise LocalProtocolError(f"status {status} redirects nobody (RFC 9110 section 15.4)")
    return Refusal(status, headers=[("Location", location)])


def response_for(answer: Any) -> Response:
    """What a handler of plain requests returned, as a response.

    Raises:
        TypeError: it is no str, bytes or Response.
    """
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, str | bytes):
        return Response(body=answer)
    raise TypeError(f"the handler returned {type(answer).__name__}, not str, bytes or Response")
