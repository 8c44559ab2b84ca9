"""The PROXY header: the client's address, said by a proxy in front of everything else.

Both versions of "The PROXY protocol" (haproxy.org, proxy-protocol.txt) are read: the text line of
version 1, and the binary header of version 2 with its TLVs. Proxies send it in one piece, but it
is taken cut anywhere. Whatever is malformed ends in a `ProxyFault`, and the connection is to be
closed without an answer: nobody is there who could read one.

    version 2:  0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A | version, command | family, protocol
                | length, two bytes | source address, destination address, ports | TLVs
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re

__all__ = ["ProxyFault", "ProxyHeader", "ProxyReader", "crc32c"]

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED_BYTES = 16
_MAX_LINE_BYTES = 107
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [ -~]*)?|TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) "
    rb"(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _INET, _INET6, _UNIX = 0, 1, 2, 3
_ADDRESS_BYTES = {_UNSPECIFIED: 0, _INET: 12, _INET6: 36, _UNIX: 216}
_TLV_CRC32C = 0x03
_TLV_HEADER_BYTES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a proxy said.

    Attributes:
        source: (host, port) of the client; None if the proxy speaks for itself (a health check),
            does not know, or the client came over a Unix socket.
        destination: (host, port) that the client connected to, or None.
        is_local: the proxy speaks for itself: the connection's own addresses hold.
    """

    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    is_local: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ProxyFault:
    """What came is no PROXY header.

    Attributes:
        reason: why, naming the value and the rule.
    """

    reason: str


class ProxyReader:
    """Reads one PROXY header.

    Args:
        max_bytes: limit of the header, TLVs included. Those of the proxies that there are stay
            below 600 bytes.

    Raises:
        ValueError: the limit is below the 232 bytes of the longest header without TLVs.
    """

    __slots__ = ("_held", "_max_bytes", "_result")

    def __init__(self, *, max_bytes: int = 2048) -> None:
        least = _FIXED_BYTES + _ADDRESS_BYTES[_UNIX]
        if max_bytes < least:
            raise ValueError(f"max_bytes is {max_bytes}, below the {least} of a header (2.2)")
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._result: ProxyHeader | ProxyFault | None = None

    @property
    def trailing(self) -> bytes:
        """What arrived behind the header."""
        return b"" if self._result is None else bytes(self._held)

    def receive(self, data: bytes) -> ProxyHeader | ProxyFault | None:
        """Take the next bytes, cut anywhere.

        Returns:
            None while more are needed, then the result. Later calls return the same, and keep the
            bytes in `trailing`.
        """
        self._held += data
        if self._result is None:
            try:
                self._result = self._read()
            except ValueError as error:
                self._held.clear()
                self._result = ProxyFault(f"{error} (proxy-protocol.txt section 2)")
        return self._result

    def _read(self) -> ProxyHeader | None:
        """Read what is held, if it is whole.

        Raises:
            ValueError: it breaks a rule.
        """
        start = bytes(self._held[: len(_SIGNATURE)])
        if _SIGNATURE.startswith(start):
            return self._read_binary() if len(start) == len(_SIGNATURE) else None
        if not start.startswith(b"PROXY "[: len(start)]):
            raise ValueError(f"{start!r} begins no PROXY header")
        return self._read_line()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _read_line(self) -> ProxyHeader | None:
        end = self._held.find(b"\n", 0, _MAX_LINE_BYTES)
        if end < 0:
            if len(self._held) >= _MAX_LINE_BYTES:
                raise ValueError(f"the line of version 1 exceeds {_MAX_LINE_BYTES} bytes")
            return None
        line = self._take(end + 1)
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"{line!r} is no line of version 1")
        if parts[1] is None:
            return ProxyHeader()
        kind = ipaddress.IPv4Address if parts[1] == b"4" else ipaddress.IPv6Address
        ports = int(parts[4]), int(parts[5])
        if max(ports) > 65535:
            raise ValueError(f"port {max(ports)} exceeds 65535")
        hosts = [str(kind(parts[index].decode("ascii"))) for index in (2, 3)]
        return ProxyHeader((hosts[0], ports[0]), (hosts[1], ports[1]))

    def _read_binary(self) -> ProxyHeader | None:
        held = self._held
        if len(held) < _FIXED_BYTES:
            return None
        version, command = held[12] >> 4, held[12] & 15
        family, protocol = held[13] >> 4, held[13] & 15
        if version != 2 or command not in (_LOCAL, _PROXY):
            raise ValueError(f"byte 13 is {held[12]:#04x}, not version 2 with LOCAL or PROXY")
        if family not in _ADDRESS_BYTES or protocol > 2:
            raise ValueError(f"byte 14 is {held[13]:#04x}, no family with its protocol")
        length = int.from_bytes(held[14:16], "big")
        if _FIXED_BYTES + length > self._max_bytes:
            raise ValueError(f"{length} bytes of addresses and TLVs exceed {self._max_bytes}")
        if len(held) < _FIXED_BYTES + length:
            return None
        return _read_body(self._take(_FIXED_BYTES + length), command, family, protocol)


def _read_body(header: bytes, command: int, family: int, protocol: int) -> ProxyHeader:
    """Addresses and TLVs of a whole header of version 2.

    Raises:
        ValueError: it breaks a rule.
    """
    if command == _LOCAL:
        # "The receiver must ignore" what it says of addresses; so their size is not checked, and
        # where TLVs would begin is unknown.
        return ProxyHeader(is_local=True)
    size = _ADDRESS_BYTES[family]
    if len(header) < _FIXED_BYTES + size:
        raise ValueError(f"{len(header) - _FIXED_BYTES} bytes hold no addresses of {size} bytes")
    if family != _UNSPECIFIED:  # of that we know neither the size nor where TLVs begin
        _check_tlvs(header, _FIXED_BYTES + size)
    if family not in (_INET, _INET6) or protocol != 1:
        return ProxyHeader()
    width = 4 if family == _INET else 16
    at = _FIXED_BYTES
    hosts = [_address(header[at + width * index : at + width * (index + 1)]) for index in (0, 1)]
    at += 2 * width
    ports = [
        int.from_bytes(header[at + 2 * index : at + 2 * index + 2], "big") for index in (0, 1)
    ]
    return ProxyHeader((hosts[0], ports[0]), (hosts[1], ports[1]))


def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def _check_tlvs(header: bytes, at: int) -> None:
    """Walk the TLVs of a header; the checksum over it is checked if it is there (2.2.3).

    Raises:
        ValueError: one exceeds the header, or the checksum is wrong.
    """
    while at < len(header):
        end = at + _TLV_HEADER_BYTES
        length = int.from_bytes(header[at + 1 : end], "big")
        if end + length > len(header):
            raise ValueError(f"the TLV at byte {at} exceeds the header of {len(header)} bytes")
        if header[at] == _TLV_CRC32C:
            said = header[end : end + length]
            if length != 4 or crc32c(header[:end] + bytes(4) + header[end + 4 :]) != said:
                raise ValueError(f"the CRC32c {said.hex()} is wrong")
        at = end + length


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> bytes:
    """The CRC-32C of RFC 9260 appendix A, four bytes, the most significant first."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 255]
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "big")
