"""Header values of the opening handshake: read strictly, written safely (RFC 6455 section 9.1).

Everything here is linear in its input: values are walked from left to right by patterns that match
at one position and are never tried twice, so that no choice of separators costs more than its
length.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

from wsfast.errors import LocalProtocolError

__all__ = [
    "Extension",
    "Headers",
    "HeadersLike",
    "check_extensions",
    "field_lines",
    "format_cookies",
    "format_extensions",
    "format_subprotocols",
    "has_element",
    "is_token",
    "list_elements",
    "pairs",
    "parse_cookies",
    "parse_extensions",
    "parse_subprotocols",
    "show",
]

#: Names in lower case, values without the white space around them, in wire order.
Headers = list[tuple[str, str]]

#: What a caller may pass where headers are asked for.
HeadersLike = Iterable[tuple[str, str]] | Mapping[str, str]

#: A name and its parameters, each with its value or None (section 9.1).
Extension = tuple[str, list[tuple[str, str | None]]]

_FrozenExtension = tuple[str, tuple[tuple[str, str | None], ...]]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OWS = re.compile(r"[ \t]*")
_OWS_AND_COMMAS = re.compile(r"[ \t,]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")

_SHOWN = 80


def show(value: str | bytes) -> str:
    """Print a peer's value into a message: ASCII, escaped, cut at 80 characters."""
    text = ascii(value[: _SHOWN + 1])
    return text if len(value) <= _SHOWN else f"{text[:_SHOWN]}..."


def is_token(text: str) -> bool:
    """Whether this is a token of RFC 9110 section 5.6.2."""
    return _TOKEN.fullmatch(text) is not None


def has_element(value: str, element: str) -> bool:
    """Whether a comma-separated list has this element, in any case (RFC 9110 section 5.6.1)."""
    return value.lower() == element or element in list_elements(value)


def list_elements(value: str) -> list[str]:
    """The elements of a comma-separated list, in lower case (RFC 9110 section 5.6.1)."""
    return [element.strip(" \t") for element in value.lower().split(",")]


def parse_subprotocols(value: str) -> list[str]:
    """Read Sec-WebSocket-Protocol, all its lines joined by commas (section 4.1, item 10).

    Raises:
        ValueError: an element is no token, or comes twice, or there is none.
    """
    names: list[str] = []
    seen: set[str] = set()
    for element in value.split(","):
        name = element.strip(" \t")
        if not name:
            continue
        if not is_token(name):
            raise ValueError(f"{show(name)} is no token")
        if name in seen:
            raise ValueError(f"{name} comes twice")
        seen.add(name)
        names.append(name)
    if not names:
        raise ValueError("the list is empty")
    return names


def check_extensions(value: str) -> None:
    """Check that `parse_extensions` can read a value; what it found is kept for it.

    Raises:
        ValueError: the value is outside the grammar; the message names the place.
    """
    _parse_extensions(value)


def parse_extensions(value: str) -> list[Extension]:
    """Read Sec-WebSocket-Extensions, all its lines joined by commas (section 9.1).

    Raises:
        ValueError: the value is outside the grammar; the message names the place.
    """
    return [(name, list(parameters)) for name, parameters in _parse_extensions(value)]


# Browsers all send the same few values: reading one again costs nothing.
@functools.lru_cache(maxsize=64)
def _parse_extensions(value: str) -> tuple[_FrozenExtension, ...]:
    extensions: list[_FrozenExtension] = []
    at = _skip(_OWS_AND_COMMAS, value, 0)
    while at < len(value):
        extension, at = _parse_extension(value, at)
        extensions.append(extension)
        if at < len(value) and value[at] != ",":
            raise ValueError(f"a comma is missing at {show(value[at:])}")
        at = _skip(_OWS_AND_COMMAS, value, at)
    if not extensions:
        raise ValueError("the list is empty")
    return tuple(extensions)


def _parse_extension(value: str, at: int) -> tuple[_FrozenExtension, int]:
    name, at = _parse_token(value, at)
    parameters: list[tuple[str, str | None]] = []
    at = _skip(_OWS, value, at)
    while at < len(value) and value[at] == ";":
        parameter, at = _parse_token(value, _skip(_OWS, value, at + 1))
        at = _skip(_OWS, value, at)
        argument: str | None = None
        if at < len(value) and value[at] == "=":
            argument, at = _parse_argument(value, _skip(_OWS, value, at + 1))
            at = _skip(_OWS, value, at)
        parameters.append((parameter, argument))
    return (name, tuple(parameters)), at


def _parse_argument(value: str, at: int) -> tuple[str, int]:
    """A token, or a quoted string that is a token once unquoted (section 9.1)."""
    if at == len(value) or value[at] != '"':
        return _parse_token(value, at)
    quoted = _QUOTED.match(value, at)
    if quoted is None:
        raise ValueError(f"the quote is not closed at {show(value[at:])}")
    argument = _ESCAPE.sub(r"\1", quoted[1])
    if not is_token(argument):
        raise ValueError(f"the quoted {show(argument)} is no token")
    return argument, quoted.end()


def _parse_token(value: str, at: int) -> tuple[str, int]:
    token = _TOKEN.match(value, at)
    if token is None:
        raise ValueError(f"a token is missing at {show(value[at:])}")
    return token[0], token.end()


def _skip(pattern: re.Pattern[str], value: str, at: int) -> int:
    """Where a pattern that also matches nothing ends."""
    found = pattern.match(value, at)
    return at if found is None else found.end()


def parse_cookies(value: str) -> dict[str, str]:
    """Read a Cookie header as browsers write it (RFC 6265 section 5.4); the first of a name wins.

    The first one is that of the longest path; pairs without a name or an equals sign are dropped.
    """
    cookies: dict[str, str] = {}
    for pair in value.split(";"):
        name, equals, content = pair.partition("=")
        name, content = name.strip(" \t"), content.strip(" \t")
        if len(content) >= 2 and content[0] == content[-1] == '"':
            content = content[1:-1]
        if equals and name:
            cookies.setdefault(name, content)
    return cookies


def format_cookies(cookies: Mapping[str, str]) -> str:
    """Write a Cookie header (RFC 6265 section 4.1.1).

    Raises:
        LocalProtocolError: a name is no token, or a value holds white space, a quote, a comma, a
            semicolon or a backslash.
    """
    for name, value in cookies.items():
        if not is_token(name):
            raise LocalProtocolError(f"cookie name {show(name)} is no token (RFC 6265 4.1.1)")
        if not _COOKIE_VALUE.fullmatch(value):
            raise LocalProtocolError(
                f"cookie {name} has the value {show(value)}, quote it first (RFC 6265 4.1.1)"
            )
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def format_subprotocols(names: Iterable[str]) -> str:
    """Write Sec-WebSocket-Protocol (section 4.1, item 10).

    Raises:
        LocalProtocolError: a name is no token, or comes twice.
        TypeError: `names` is a str: a list of names is meant.
    """
    if isinstance(names, str):
        raise TypeError(f"subprotocols is the str {show(names)}, not a list of names")
    offered = list(names)
    value = ", ".join(offered)
    try:
        if offered and parse_subprotocols(value) != offered:
            raise ValueError(f"{show(value)} is no list of tokens")
    except ValueError as error:
        raise LocalProtocolError(f"subprotocols: {error} (RFC 6455 section 4.1)") from None
    return value


def format_extensions(extensions: Iterable[Extension]) -> str:
    """Write Sec-WebSocket-Extensions (section 9.1).

    Raises:
        LocalProtocolError: a name, parameter or value is no token.
    """
    return ", ".join(_format_extension(*extension) for extension in extensions)


def _format_extension(name: str, parameters: Iterable[tuple[str, str | None]]) -> str:
    tokens, written = [name], [name]
    for parameter, argument in parameters:
        tokens += [parameter] if argument is None else [parameter, argument]
        written.append(parameter if argument is None else f"{parameter}={argument}")
    for token in tokens:
        if not is_token(token):
            raise LocalProtocolError(
                f"extension {show(name)}: {show(token)} is no token (RFC 6455 section 9.1)"
            )
    return "; ".join(written)


def pairs(headers: HeadersLike) -> Headers:
    """What a caller passed as headers, as a list of its own."""
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def field_lines(headers: HeadersLike, reserved: frozenset[str] = frozenset()) -> str:
    r"""Write header lines, each with its CRLF, and refuse what would inject another.

    Args:
        headers: pairs of str, or a mapping.
        reserved: names in lower case that the caller must not set.

    Raises:
        LocalProtocolError: a name is no token or is reserved, or a value holds CR, LF, NUL,
            another control character or one beyond latin-1 (RFC 9110 section 5.5).
    """
    lines = []
    for name, value in pairs(headers):
        if not _TOKEN.fullmatch(name):
            raise LocalProtocolError(f"header name {show(name)} is no token (RFC 9110 5.1)")
        if name.lower() in reserved:
            raise LocalProtocolError(
                f"header {name} belongs to the handshake: it is set by wsfast"
            )
        if not _VALUE.fullmatch(value):
            raise LocalProtocolError(
                f"header {name} has the value {show(value)}, which holds a control character or "
                "one beyond latin-1 (RFC 9110 section 5.5)"
            )
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines)
