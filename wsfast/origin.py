"""The origin policy: which pages may open a connection (RFC 6455 section 10.2)."""

from __future__ import annotations

import re
from collections.abc import Collection

from wsfast.head import Request
from wsfast.headers import show
from wsfast.refusal import Refusal

__all__ = ["check_origin"]

_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#@\s,]+)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def check_origin(request: Request, allowed: Collection[str | None] | str | None) -> Refusal | None:
    """Check where the script that opens the connection came from.

    Scheme and host are compared in any case, a port that is the scheme's own is as good as none.
    "same-origin" compares host and port with those that the request asks for: whether TLS was
    ended in front of us cannot be seen, so the scheme is left out. An opaque origin, "null", is
    allowed only by naming it.

    Args:
        request: the request that is about to be accepted.
        allowed: None checks nothing. Otherwise the origins that may connect, each as
            "https://example.com", "same-origin", or None for requests without an Origin header,
            that is from outside browsers. One str is a collection of one.

    Returns:
        The refusal to send, 403, or None if the origin is allowed.

    Raises:
        ValueError: an allowed origin is not scheme://host[:port].
    """
    if allowed is None:
        return None
    choices = (allowed,) if isinstance(allowed, str) else allowed
    known = {_normalize_allowed(choice) for choice in choices}
    origin = request.origin
    if origin is None or len(request.header_values("origin")) > 1:
        accepted = origin is None and None in known
    else:
        normal = _normalize(origin)
        accepted = normal in known or ("same-origin" in known and _is_same(normal, request.host))
    if accepted:
        return None
    value = "absent" if origin is None else show(origin)
    return Refusal(403, f"the Origin is {value}, which may not connect (RFC 6455 section 10.2)")


def _normalize_allowed(choice: str | None) -> str | None:
    if choice is None or choice in ("same-origin", "null"):
        return choice
    if "*" in choice or not _ORIGIN.fullmatch(choice):
        raise ValueError(f"allowed origin {show(choice)} is not scheme://host[:port] (RFC 6454 7)")
    return _normalize(choice)


def _normalize(origin: str) -> str:
    """Scheme and host in lower case, without the scheme's own port (RFC 6454 section 4)."""
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        return "null" if origin == "null" else ""
    scheme, authority = parts[1].lower(), parts[2].lower()
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS.get(scheme, ':'))}"


def _is_same(origin: str, host: str) -> bool:
    scheme, separator, authority = origin.partition("://")
    host = host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ":"))
    return bool(separator) and authority == host
