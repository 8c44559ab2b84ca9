"""What proxies say of the client: X-Forwarded-* and Forwarded (RFC 7239), from trusted ones only.

Each proxy appends the address that it sees, so the list reads: what the client made up, the
client as the outermost of our proxies saw it, and then proxy after proxy. It is walked from right
to left: as long as whoever said an entry is trusted, the entry holds; the first address that is
not a trusted proxy's is the client's. What stands left of it may be anything, and is not looked
at. Of the scheme and the host the value of the outermost trusted proxy is taken in the same way.

An entry that is no address ("unknown", an obfuscated "_name", junk) ends the walk: the client is
then the last hop whose address is known, so that limits per address go on to hold.

Which of the two headers the proxies write has to be said: one that they do not write comes from
the client as it is. For the same reason proxies have to set or to remove X-Forwarded-Proto and
X-Forwarded-Host if they write X-Forwarded-For.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Callable, Collection

from wsfast.head import Request

__all__ = ["Client", "TrustedProxies"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = re.compile(rf'[ \t]*({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")[ \t]*(?:;|\Z)')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NODE = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]+))(?::([0-9]{1,5}|_[A-Za-z0-9._\-]+))?")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(?::[0-9]{1,5})?")
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_STYLES = ("x-forwarded", "forwarded")

#: Hosts for which the answer is kept: to read an address takes microseconds, and each connection
#: asks when it comes and when its request does.
_KEPT_HOSTS = 1024

#: A quoted value may hold commas: so many pieces are joined in search of its beginning.
_MAX_COMMAS = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Who asks, as far as those whom we trust know.

    Attributes:
        address: (host, port) of the client; port 0 if unknown. None if nothing is known: it came
            over a Unix socket and nobody trusted said more.
        scheme: "http", "https", "ws" or "wss": what the client spoke, or None if nobody said.
        host: the host that the client asked for, or None if nobody said.
    """

    address: tuple[str, int] | None
    scheme: str | None = None
    host: str | None = None


class TrustedProxies:
    """The proxies that are believed.

    Args:
        networks: addresses and networks as "10.0.0.0/8", "::1"; "unix" trusts whoever connects
            over a Unix socket. One str is a collection of one.
        style: what they write: "x-forwarded" (X-Forwarded-For, -Proto and -Host), or "forwarded".

    Raises:
        ValueError: a network is none, has bits set behind its prefix, or the style is another.
    """

    __slots__ = ("_networks", "_read", "_trusts_host", "_unix")

    def __init__(self, networks: Collection[str] | str, style: str = "x-forwarded") -> None:
        if style not in _STYLES:
            raise ValueError(f"style is {style!r}, not one of {_STYLES}")
        names = {networks} if isinstance(networks, str) else set(networks)
        self._unix = "unix" in names
        self._networks = [_network(name) for name in sorted(names - {"unix"})]
        self._read = _read_x_forwarded if style == "x-forwarded" else _read_forwarded
        self._trusts_host = functools.lru_cache(_KEPT_HOSTS)(self._look_up)

    def __bool__(self) -> bool:
        """Whether anybody is trusted."""
        return self._unix or bool(self._networks)

    def trusts(self, address: tuple[str, int] | None) -> bool:
        """Whether a peer is a trusted proxy.

        Args:
            address: (host, port), or None for a Unix socket.
        """
        if address is None:
            return self._unix
        return bool(self._networks) and self._trusts_host(address[0])

    def resolve(self, request: Request, peer: tuple[str, int] | None) -> Client:
        """Find out who asks.

        Args:
            request: what came.
            peer: (host, port) of whoever sent it, or None for a Unix socket.
        """
        if not self.trusts(peer):
            return Client(peer)
        return self._read(request, peer, self._holds)

    def _look_up(self, host: str) -> bool:
        parsed = _parse_address(host.partition("%")[0])
        return parsed is not None and self._holds(parsed)

    def _holds(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


_Holds = Callable[[_Address], bool]


def _read_x_forwarded(request: Request, peer: tuple[str, int] | None, trusts: _Holds) -> Client:
    client, hops = peer, 0
    for entry in reversed(_elements(request, "x-forwarded-for")):
        hops += 1
        known = _node(entry)
        if known is None:
            break
        client = str(known[0]), known[1]
        if not trusts(known[0]):
            break
    # Without X-Forwarded-For the peer may still say the rest.
    hops = max(hops, 1)
    scheme = _outermost(_elements(request, "x-forwarded-proto"), hops)
    host = _outermost(_elements(request, "x-forwarded-host"), hops)
    return Client(client, _scheme(scheme), _host(host))


def _read_forwarded(request: Request, peer: tuple[str, int] | None, trusts: _Holds) -> Client:
    client, scheme, host = peer, None, None
    pieces = _elements(request, "forwarded")
    while pieces:
        pairs = _last_element(pieces)
        if pairs is None:
            break
        scheme, host = _scheme(pairs.get("proto")) or scheme, _host(pairs.get("host")) or host
        known = _node(pairs.get("for", ""))
        if known is None:
            break
        client = str(known[0]), known[1]
        if not trusts(known[0]):
            break
    return Client(client, scheme, host)


def _elements(request: Request, name: str) -> list[str]:
    """What stands between the commas of all lines of a header."""
    value = request.header(name)
    return [] if value is None else [element.strip(" \t") for element in value.split(",")]


def _last_element(pieces: list[str]) -> dict[str, str] | None:
    """Take the last element of a Forwarded header off its pieces; None if it is none.

    Read from the right, since a quote that the client left open may not swallow what our proxies
    append. A piece that is whole by itself is an element: inside of a quoted value a piece either
    holds a stray quote, or one behind a backslash, and neither is whole.
    """
    text = ""
    for _ in range(min(len(pieces), _MAX_COMMAS)):
        text = pieces.pop() + text
        pairs = _pairs(text)
        if pairs is not None:
            return pairs
        text = "," + text
    return None


def _pairs(element: str) -> dict[str, str] | None:
    """The pairs of one Forwarded element, names in lower case (RFC 7239 section 4)."""
    found: dict[str, str] = {}
    at = 0
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None or pair[1].lower() in found:
            return None
        value = pair[2] if pair[3] is None else _ESCAPE.sub(r"\1", pair[3])
        found[pair[1].lower()] = value
        at = pair.end()
    return found or None


def _outermost(values: list[str], hops: int) -> str | None:
    """What the outermost of so many proxies said, each having appended one value or none."""
    return values[max(0, len(values) - hops)] if values else None


def _node(text: str) -> tuple[_Address, int] | None:
    """An address with or without its port (RFC 7239 section 6); None if it is no address.

    An IPv6 address without brackets is one, since many write it so in X-Forwarded-For.
    """
    bare = _parse_address(text)
    if bare is not None:
        return bare, 0
    parts = _NODE.fullmatch(text)
    if parts is None:
        return None
    address = _parse_address(parts[1] or parts[2] or "")
    if address is None:
        return None
    port = int(parts[3]) if parts[3] and parts[3].isdigit() else 0
    return (address, port) if port <= 65535 else None


def _parse_address(text: str) -> _Address | None:
    """An address; an IPv4 one that is written as IPv6 (RFC 4291 2.5.5.2) is an IPv4 one."""
    if len(text) > 45 or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(name: str) -> _Network:
    try:
        return ipaddress.ip_network(name)
    except ValueError as error:
        raise ValueError(f"trusted proxy: {error} (RFC 4632 section 3.1)") from None


def _scheme(text: str | None) -> str | None:
    return text.lower() if text is not None and text.lower() in _SCHEMES else None


def _host(text: str | None) -> str | None:
    return text if text is not None and _HOST.fullmatch(text) else None
