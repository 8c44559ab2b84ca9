r"""A head is collected from segments, checked, and read by llhttp (RFC 9112 sections 2 to 5).

Rules:

- Only new bytes are looked at, so a head that dribbles in costs no more than one that comes whole.
- What cannot become a head is refused at the first byte that shows it (a TLS hello, line noise, a
  binary protocol), and what grows too large as soon as it is too large; nobody waits for the end.
- llhttp reads, but it is not the judge of what is strict: which of its leniencies are on differs
  between versions of httptools. One pattern over the whole head demands CRLF line ends, one line
  a header, no space before the colon and no control characters. It has no ambiguous repetition,
  so it is linear. What both readers accept is read alike by the proxies in front of us.
- A parser serves one head only. Reuse would save 0.3 us of 2, and would let one peer's bytes
  meet state that another's left behind.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence

import httptools

from wsfast.headers import Headers, show

__all__ = ["BadHead", "HeadReader", "RequestReader", "ResponseReader"]

_FIELD_LINES = rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
_REQUEST = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) [\x21-\x7e]+ HTTP/(\d\.\d)\r\n" + _FIELD_LINES
)
_RESPONSE = re.compile(
    rb"HTTP/(\d\.\d) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n" + _FIELD_LINES
)
_REQUEST_START = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,24}(?: [\x21-\x7e]*(?: [HTP/.\d]*)?)?)?\r?"
)
_RESPONSE_START = b"HTTP/1."
_FAULTS = (
    (re.compile(rb"[^\r]\n|\r[^\n]"), "a line does not end with CR LF (RFC 9112 section 2.2)"),
    (re.compile(rb"\n[ \t]"), "a header line is folded (RFC 9112 section 5.2)"),
    (re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), "a control character (RFC 9110 5.5)"),
    (re.compile(rb"\n[^\r\n:]*[ \t]:"), "white space before a colon (RFC 9112 section 5.1)"),
    (
        re.compile(rb"\r\n(?![!#$%&'*+\-.^_`|~0-9A-Za-z]+:|\r\n|\Z)[^\r]*"),
        "no header field (RFC 9112 5)",
    ),
)
_LONGEST_START = 64

_COMMON_NAMES = """
    Accept Accept-Encoding Accept-Language Authorization Cache-Control Connection Content-Length
    Content-Type Cookie Date DNT Host Keep-Alive Origin Pragma Referer Sec-Fetch-Dest
    Sec-Fetch-Mode Sec-Fetch-Site
    Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol
    Sec-WebSocket-Version Server Set-Cookie Upgrade User-Agent Via X-Forwarded-For
    X-Forwarded-Host X-Forwarded-Proto X-Real-IP
""".split()
_NAMES = {
    form.encode("ascii"): name.lower()
    for name in _COMMON_NAMES
    for form in (name, name.lower(), name.replace("WebSocket", "Websocket"))
}


class BadHead(Exception):
    """No head that we read: the status to answer with, and why.

    Attributes:
        status: HTTP status, 400 or 431.
        reason: the value, the rule and its section.
        headers: what the answer must carry beside its body.
    """

    def __init__(self, status: int, reason: str, headers: Headers | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers or []


class HeadReader(abc.ABC):
    """Collects one head, and keeps what follows it.

    Args:
        max_bytes: limit of the whole head in bytes, its empty line included.
        max_headers: limit of header lines.

    Attributes:
        trailing: what has arrived behind the head.
    """

    #: Whether one empty line before the first line is ignored (RFC 9112 section 2.2).
    ignores_empty_line = False

    def __init__(self, max_bytes: int, max_headers: int) -> None:
        self.max_bytes = max_bytes
        self.max_headers = max_headers
        self.trailing = b""
        self._held = bytearray()
        self._lines = 0
        self._skippable = self.ignores_empty_line

    def receive(self, data: bytes) -> bytes | None:
        """Take the next bytes, and return the head once it is complete.

        Raises:
            BadHead: it can no longer become a head within the limits.
        """
        if not self._held:
            end = data.find(b"\r\n\r\n", 1) + 4
            if end > 3 and data[:1] != b"\r":
                head, self.trailing = data[:end], data[end:]
                self._check_limits(end, head.count(b"\n") - 2)
                return head
        return self._collect(data)

    def _collect(self, data: bytes) -> bytes | None:
        held = self._held
        scanned = len(held)
        held += data
        if self._skippable and len(held) >= 2:
            self._skippable = False
            if held.startswith(b"\r\n"):
                del held[:2]
                return self.receive(self._release())
        end = held.find(b"\r\n\r\n", max(0, scanned - 3)) + 4
        if end > 3:
            head, self.trailing = bytes(held[:end]), bytes(held[end:])
            self._release()
            self._check_limits(end, head.count(b"\n") - 2)
            return head
        if scanned < _LONGEST_START:
            self._check_start(bytes(held[:_LONGEST_START]))
        self._lines += data.count(b"\n")
        self._check_limits(len(held), self._lines - 1)
        return None

    def _release(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held

    @abc.abstractmethod
    def _check_start(self, start: bytes) -> None:
        """Refuse what no first line starts with.

        Raises:
            BadHead: this cannot become a head.
        """

    def _check_limits(self, size: int, lines: int) -> None:
        if size > self.max_bytes:
            raise BadHead(431, f"the head is {size} bytes long, the limit is {self.max_bytes}")
        if lines > self.max_headers:
            raise BadHead(431, f"there are {lines} header lines, the limit is {self.max_headers}")


class _Collector:
    """What llhttp calls while it reads one head."""

    __slots__ = ("complete", "headers", "target")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.target = ""
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _NAMES.get(name) or name.decode("latin-1").lower()
        self.headers.append((key, str(value, "latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True

    def feed(
        self, parser: httptools.HttpRequestParser | httptools.HttpResponseParser, head: bytes
    ) -> None:
        """Have llhttp read a head.

        Raises:
            BadHead: llhttp does not accept it.
        """
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            return
        except httptools.HttpParserError as error:
            if not self.complete:
                raise BadHead(400, f"llhttp: {error} in {show(head)}") from None
        if not self.complete:
            raise BadHead(400, f"llhttp sees no complete head in {show(head)}")


class RequestReader(HeadReader):
    """Collects and reads the head of a request.

    Args:
        max_bytes, max_headers: as for `HeadReader`.
        methods: those that are let through, 405 is for others; None: all that llhttp knows, and
            HTTP/1.0 as well, which health checks still speak.
    """

    ignores_empty_line = True

    def __init__(
        self, max_bytes: int, max_headers: int, methods: Sequence[str] | None = ("GET",)
    ) -> None:
        super().__init__(max_bytes, max_headers)
        self._methods = methods

    def parse(self, head: bytes) -> tuple[str, str, str, Headers]:
        """Method, target, HTTP version and headers of a head.

        Raises:
            BadHead: it breaks a rule of RFC 9112.
        """
        line = _REQUEST.fullmatch(head)
        if line is None:
            self._check_start(head[:_LONGEST_START])
            raise BadHead(400, _explain(head))
        method, version = line[1].decode("ascii"), line[2].decode("ascii")
        if version != "1.1" and (version != "1.0" or self._methods is not None):
            raise BadHead(505, f"HTTP/{version}, not HTTP/1.1 (RFC 6455 section 4.2.1)")
        if self._methods is not None and method not in self._methods:
            allowed = ", ".join(self._methods)
            reason = f"the method is {method[:24]}, not {allowed} (RFC 6455 section 4.2.1)"
            raise BadHead(405, reason, [("allow", allowed)])
        read = _Collector()
        read.feed(httptools.HttpRequestParser(read), head)
        return method, read.target, version, read.headers

    def _check_start(self, start: bytes) -> None:
        line, ended, _ = start.partition(b"\r\n")
        if (ended and not line) or not _REQUEST_START.fullmatch(line):
            raise BadHead(400, f"no request starts with {show(start)} (RFC 9112 section 3)")


class ResponseReader(HeadReader):
    """Collects and reads the head of a response."""

    def parse(self, head: bytes) -> tuple[int, str, str, Headers]:
        """Status, reason, HTTP version and headers of a head.

        Raises:
            BadHead: it breaks a rule of RFC 9112.
        """
        line = _RESPONSE.fullmatch(head)
        if line is None:
            self._check_start(head[:_LONGEST_START])
            raise BadHead(400, _explain(head))
        read = _Collector()
        read.feed(httptools.HttpResponseParser(read), head)
        reason = (line[3] or b"").decode("latin-1").strip(" \t")
        return int(line[2]), reason, line[1].decode("ascii"), read.headers

    def _check_start(self, start: bytes) -> None:
        if not (_RESPONSE_START.startswith(start) or start.startswith(_RESPONSE_START)):
            raise BadHead(400, f"no HTTP/1.1 response starts with {show(start)} (RFC 9112 4)")


def _explain(head: bytes) -> str:
    """Name the rule that a head breaks, and the bytes that break it."""
    for pattern, rule in _FAULTS:
        found = pattern.search(head)
        if found:
            return f"{rule}: {show(found[0])}"
    return f"the first line is {show(head.splitlines()[0])} (RFC 9112 section 3)"
