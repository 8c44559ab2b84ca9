"""What a request must have to become a WebSocket (RFC 6455 section 4.2.1), rule by rule."""

from __future__ import annotations

import re

from wsfast.head import Request
from wsfast.headers import Headers, check_extensions, has_element, parse_subprotocols, show
from wsfast.headreader import BadHead
from wsfast.rfc6455 import VERSION

__all__ = [
    "KEY",
    "SINGLE",
    "check_no_body",
    "check_request",
    "check_upgrade",
    "combine",
    "is_upgrade",
]

#: A Sec-WebSocket-Key: the base64 of 16 bytes.
KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
#: Fields of which a head has one at most.
SINGLE = frozenset({"host", "origin", "sec-websocket-key", "sec-websocket-version"})

_TARGET = re.compile(r"(?:/|(?:https?|wss?)://[^/?#@]+(?=[/?]|\Z))[^#]*", re.IGNORECASE)
# A comma is legal in a name, and there only when somebody has joined two Host lines.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%\-]+)(?::[0-9]*)?")
_VERSION = str(VERSION)
_UPGRADE: Headers = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
_SUPPORTED: Headers = [("Sec-WebSocket-Version", _VERSION)]


def check_request(request: Request) -> dict[str, str]:
    """Check what every request must have, a plain one as well: its target and its host.

    Returns:
        Its fields by name, for `check_upgrade`.

    Raises:
        BadHead: the request breaks a rule of RFC 9112.
    """
    fields = combine(request.headers)
    if not _TARGET.fullmatch(request.target):
        raise BadHead(400, f"the target is {show(request.target)} (RFC 9112 section 3.2)")
    if request.version != "1.0" or "host" in fields:  # it did not know it (RFC 9112 section 3.2)
        _check_host(fields.get("host", ""))
    if request.target[0] != "/":
        _check_host(request.host)
    return fields


def check_upgrade(fields: dict[str, str]) -> str:
    """Check every rule of section 4.2.1 that a server can check, and return the key.

    Args:
        fields: what `check_request` returned.

    Raises:
        BadHead: the request breaks one.
    """
    check_no_body(fields)
    if not is_upgrade(fields):
        reason = "no upgrade to websocket is asked for, Upgrade is "
        reason += f"{show(fields.get('upgrade', ''))} and Connection "
        reason += f"{show(fields.get('connection', ''))} (RFC 6455 section 4.2.1)"
        raise BadHead(426, reason, _UPGRADE)
    _check_version(fields.get("sec-websocket-version"))
    key = fields.get("sec-websocket-key", "")
    if not KEY.fullmatch(key):
        reason = f"the Sec-WebSocket-Key is {show(key)}, not the base64 of 16 bytes"
        raise BadHead(400, f"{reason} (RFC 6455 section 4.2.1)")
    _check_offers(fields)
    return key


def combine(headers: Headers) -> dict[str, str]:
    """The fields by name, those of several lines joined by commas (RFC 9110 section 5.2).

    Raises:
        BadHead: a field that must come once comes again.
    """
    fields = dict(headers)
    if len(fields) < len(headers):
        fields.clear()
        for name, value in headers:
            if name not in fields:
                fields[name] = value
            elif name in SINGLE:
                raise BadHead(400, f"the {name} header comes twice (RFC 9110 section 5.3)")
            else:
                fields[name] += f", {value}"
    return fields


def _check_host(host: str) -> None:
    if not _HOST.fullmatch(host):
        raise BadHead(400, f"the Host is {show(host)}, no host[:port] (RFC 9112 section 3.2)")


def check_no_body(fields: dict[str, str]) -> None:
    """What follows the head are frames: nobody in front of us may take them for a body.

    Raises:
        BadHead: a body is announced.
    """
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        coding, length = fields.get("transfer-encoding", ""), fields.get("content-length", "")
        reason = f"Transfer-Encoding is {show(coding)} and Content-Length {show(length)}"
        raise BadHead(400, f"{reason}, a handshake has no body (RFC 9112 section 6.3)")


def is_upgrade(fields: dict[str, str]) -> bool:
    """Whether a head says Upgrade: websocket and Connection: Upgrade, among others perhaps."""
    upgrade, connection = fields.get("upgrade", ""), fields.get("connection", "")
    return has_element(upgrade, "websocket") and has_element(connection, "upgrade")


def _check_version(version: str | None) -> None:
    if version is None:
        raise BadHead(400, "Sec-WebSocket-Version is missing (RFC 6455 section 4.2.1)", _SUPPORTED)
    if version != _VERSION:
        reason = f"Sec-WebSocket-Version is {show(version)}, not {VERSION} (RFC 6455 section 4.4)"
        raise BadHead(426, reason, _UPGRADE + _SUPPORTED)


def _check_offers(fields: dict[str, str]) -> None:
    for name, parse in (
        ("sec-websocket-protocol", parse_subprotocols),
        ("sec-websocket-extensions", check_extensions),
    ):
        value = fields.get(name)
        if value is not None:
            try:
                parse(value)
            except ValueError as error:
                raise BadHead(400, f"{name}: {error} (RFC 6455 section 9.1)") from None
