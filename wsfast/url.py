"""A ws:// or wss:// URL, taken apart (RFC 6455 section 3).

`urllib.parse.urlsplit` is not used: it drops tabs and line ends without a word, and lets through
what would then be written into the request line. Here whatever is not a WebSocket URL is an error
that names the value and the rule. A password never shows in a message.
"""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import re
import urllib.parse

from wsfast.errors import InvalidURL

__all__ = ["WebSocketURL", "parse_url"]

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?:(?P<userinfo>[^/?#@]*)@)?"
    r"(?:\[(?P<literal>[^\]/?#@]*)\]|(?P<name>[^:/?#@\[\]]*))(?::(?P<port>[^:/?#@]*))?"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.DOTALL,
)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
_REG_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=\-]+")
_USERINFO = re.compile(r"//[^/?#]*@")
_VISIBLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


@dataclasses.dataclass(frozen=True, slots=True)
class WebSocketURL:
    """Where to connect, and what to ask for.

    Attributes:
        secure: whether the scheme is wss.
        host: name or address to connect to: lower case, IDNA-encoded, IPv6 without brackets.
        port: TCP port, 80 or 443 where the URL names none.
        target: resource name of section 3: path and query, as the request line carries it.
        authority: value of the Host header: the port only if it is not the scheme's own.
        authorization: value of the Authorization header that the URL's userinfo asks for, or None.
    """

    secure: bool
    host: str
    port: int
    target: str
    authority: str
    authorization: str | None


def parse_url(url: str) -> WebSocketURL:
    """Take a WebSocket URL apart (section 3).

    Args:
        url: `ws://` or `wss://`, host, and optionally userinfo, port, path and query. Characters
            beyond ASCII are IDNA-encoded in the host and percent-encoded elsewhere.

    Raises:
        InvalidURL: it is no such URL; the message names the value and the rule.
    """
    found = _FORBIDDEN.search(url)
    if found:
        raise _invalid(url, f"{found[0]!r} must be percent-encoded (RFC 3986 section 2)")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _invalid(url, "it is not scheme://host[:port]/path[?query] (RFC 6455 section 3)")
    scheme = parts["scheme"].lower()
    if scheme not in ("ws", "wss"):
        raise _invalid(url, f"the scheme is {scheme}, not ws or wss (RFC 6455 section 3)")
    if parts["fragment"] is not None:
        raise _invalid(url, "a WebSocket URL has no fragment, write # as %23 (RFC 6455 section 3)")
    secure = scheme == "wss"
    default = 443 if secure else 80
    port = _parse_port(url, parts["port"], default)
    host = _parse_host(url, parts)
    name = host if parts["literal"] is None else f"[{host.partition('%')[0]}]"
    return WebSocketURL(
        secure=secure,
        host=host,
        port=port,
        target=_target(url, parts["path"], parts["query"]),
        authority=name if port == default else f"{name}:{port}",
        authorization=_basic(url, parts["userinfo"]),
    )


def _invalid(url: str, rule: str) -> InvalidURL:
    return InvalidURL(f"{_USERINFO.sub('//***@', url)!a} is no WebSocket URL: {rule}")


def _parse_port(url: str, text: str | None, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise _invalid(url, f"the port is {text!a}, not 1 to 65535 (RFC 3986 section 3.2.3)")
    return int(text)


def _parse_host(url: str, parts: re.Match[str]) -> str:
    if parts["literal"] is not None:
        return _parse_ipv6(url, parts["literal"])
    name: str = parts["name"]
    if not name:
        raise _invalid(url, "the host is missing (RFC 6455 section 3)")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise _invalid(url, f"the host has no IDNA form: {error} (RFC 3490)") from None
    if not _REG_NAME.fullmatch(name):
        raise _invalid(url, f"the host is {name!a}, not a name (RFC 3986 section 3.2.2)")
    return name.lower()


def _parse_ipv6(url: str, literal: str) -> str:
    address, zoned, zone = literal.partition("%25")
    try:
        if "%" in address or (zoned and not _REG_NAME.fullmatch(zone)):
            raise ValueError(f"zone {zone!a}")
        compressed = ipaddress.IPv6Address(address).compressed
    except ValueError:
        rule = f"[{literal}] holds no IPv6 address (RFC 3986 section 3.2.2)"
        raise _invalid(url, rule) from None
    return f"{compressed}%{zone}" if zoned else compressed


def _target(url: str, path: str | None, query: str | None) -> str:
    target = path or "/"
    if query is not None:
        target = f"{target}?{query}"
    if target.isascii():
        return target
    try:
        return urllib.parse.quote(target, safe=_VISIBLE_ASCII)
    except UnicodeEncodeError as error:
        raise _invalid(url, f"the path has no UTF-8 form: {error.reason} (RFC 3987)") from None


def _basic(url: str, userinfo: str | None) -> str | None:
    if userinfo is None:
        return None
    user, _, password = userinfo.partition(":")
    user, password = urllib.parse.unquote(user), urllib.parse.unquote(password)
    if ":" in user or not (user + password).isprintable():
        raise _invalid(url, "a user name has no colon and no control character (RFC 7617)")
    credentials = f"{user}:{password}".encode()
    return "Basic " + base64.b64encode(credentials).decode("ascii")
