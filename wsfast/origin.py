"""The origin policy: which pages may open a connection (RFC 6455 section 10.2).

Browsers say in the Origin header which page a script belongs to, and no script can change it: so
the server can keep pages of others from using it with the rights of whoever looks at them. They
write it in one spelling (RFC 6454 section 6.2): lower case, without the scheme's own port, names
as A-labels, addresses normalized. What is configured is brought to that spelling once; what a
peer sends is looked up as it is, and only if that fails it is taken apart as well.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection

from wsfast.head import Request
from wsfast.headers import show
from wsfast.refusal import Refusal

__all__ = ["OriginPolicy"]

_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#@\\\s,]+)")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._\-]+))(?::([0-9]{1,5}))?")
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
_PAGES = frozenset({"http", "https"})
_SECURE_PAGES = frozenset({"https"})
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

#: A scheme, a name of 255 bytes (RFC 1035 section 2.3.4) and a port; the caches hold no more each.
_MAX_CHARS = 320

#: Browsers (IDNA 2008) and Python's codec (IDNA 2003) make different A-labels of these.
_DEVIATIONS = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")


class OriginPolicy:
    """Which pages may open a connection.

    Args:
        allowed: "any" checks nothing: then any page on the web can use the server with the rights
            of whoever looks at it. Otherwise one or several of

            - an origin, "https://example.com" or "https://example.com:8443"; host names beyond
              ASCII are encoded, IPv6 addresses may be in any spelling, a port that is the
              scheme's own is as good as none;
            - "same": a page of the host and port that the request asks for: an https page if the
              request is `secure`, as everybody on its way could have written an http page. If it
              is not, TLS may have been ended in front of us unseen, so http and https both do;
            - "null": opaque origins, that is sandboxed frames, files and the like;
            - None: requests without an Origin header, that is from outside browsers. Neither
              "same" nor a list of origins lets these in by itself.

    Raises:
        ValueError: an allowed origin is not scheme://host[:port] and would never match, or "any"
            stands beside another one.
        TypeError: it is neither str nor None.
    """

    __slots__ = ("_absent", "_any", "_known", "_same")

    def __init__(self, allowed: Collection[str | None] | str) -> None:
        if allowed is None:
            raise TypeError('origins is None; [None] is "outside browsers", "any" checks nothing')
        choices = {allowed} if isinstance(allowed, str) else set(allowed)
        if "any" in choices and len(choices) > 1:
            raise ValueError(f'origins: "any" stands alone, not beside {choices - {"any"}}')
        self._any = "any" in choices
        self._same = "same" in choices
        self._absent = None in choices
        self._known = frozenset(_spell_allowed(each) for each in choices - {"any", "same", None})

    def check(self, request: Request) -> Refusal | None:
        """Check where the script that opens a connection came from.

        Returns:
            The refusal to send, 403, or None if the origin is allowed.
        """
        if self._any:
            return None
        origins = request.header_values("origin")
        if len(origins) == 1:
            if self._lets_in(origins[0], request):
                return None
        elif not origins and self._absent:
            return None
        value = show(", ".join(origins)) if origins else "absent"
        return Refusal(403, f"the Origin is {value}, which may not connect (RFC 6455 10.2)")

    def _lets_in(self, origin: str, request: Request) -> bool:
        if origin in self._known:
            return True
        if len(origin) > _MAX_CHARS:
            return False
        spelled = _spell(origin)
        if spelled is None:
            return False
        return spelled in self._known or (self._same and _is_same(spelled, request))


def _is_same(spelled: str, request: Request) -> bool:
    """Whether a page's origin is that of the host, as a request names it."""
    host = request.host
    if len(host) > _MAX_CHARS:
        return False
    scheme, _, authority = spelled.partition("://")
    pages = _SECURE_PAGES if request.secure else _PAGES
    return scheme in pages and authority == _spell_authority(host, scheme)


def _spell_allowed(choice: str | None) -> str:
    """An origin of the configuration as browsers write it.

    Raises:
        ValueError, TypeError: see `OriginPolicy`.
    """
    if not isinstance(choice, str):
        raise TypeError(f"allowed origin {choice!r} is neither a str nor None")
    if choice == "null":
        return choice
    parts = _ORIGIN.fullmatch(choice)
    spelled = None if parts is None else _spell(f"{parts[1]}://{_encode(choice, parts[2])}")
    if spelled is None:
        raise ValueError(f"allowed origin {choice!a} is not scheme://host[:port] (RFC 6454 7)")
    _, _, host = spelled.partition("://")
    _check_number(choice, host.rpartition(":")[0] or host)
    return spelled


def _encode(choice: str, authority: str) -> str:
    """Names beyond ASCII as A-labels (RFC 3490), which is what browsers send."""
    if authority.isascii():
        return authority
    rule = "write it as browsers send it, with xn-- labels (RFC 5891)"
    if _DEVIATIONS.search(authority):
        raise ValueError(f"allowed origin {choice!a}: IDNA has two readings of a letter, {rule}")
    name, colon, port = authority.partition(":")
    try:
        return name.encode("idna").decode("ascii") + colon + port
    except UnicodeError as error:
        raise ValueError(f"allowed origin {choice!a} has no IDNA form, {error}: {rule}") from None


def _check_number(choice: str, host: str) -> None:
    """Browsers read a host that ends in a number as IPv4, and send it with four numbers.

    Raises:
        ValueError: this one does, and is written otherwise: it would never match.
    """
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise ValueError(f"allowed origin {choice!a}: {error} (RFC 3986 3.2.2)") from None


# The pages of a site send the same few again and again.
@functools.lru_cache(maxsize=256)
def _spell(origin: str) -> str | None:
    """An origin in the one spelling of RFC 6454 section 6.2, or None if it is none."""
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        return None
    scheme = parts[1].lower()
    authority = _spell_authority(parts[2], scheme)
    return None if authority is None else f"{scheme}://{authority}"


@functools.lru_cache(maxsize=256)
def _spell_authority(authority: str, scheme: str) -> str | None:
    """host[:port] in lower case, without the scheme's own port; None if it is no such thing."""
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        return None
    literal, name, digits = parts.groups()
    host = name.lower() if literal is None else _spell_address(literal)
    if host is None or (digits and int(digits) > 65535):
        return None
    if digits is None or int(digits) == _DEFAULT_PORTS.get(scheme):
        return host
    return f"{host}:{int(digits)}"


def _spell_address(literal: str) -> str | None:
    try:
        return f"[{ipaddress.IPv6Address(literal).compressed}]"
    except ValueError:
        return None
