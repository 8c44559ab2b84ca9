"""What travels in every dialogue: each length form of a frame header, and text beyond ASCII."""

from __future__ import annotations

__all__ = ["CLOSE_CODES", "MESSAGES", "NON_ASCII", "SUBPROTOCOL", "SUBPROTOCOLS"]

#: The ends of the 7-bit, 16-bit and 64-bit lengths (RFC 6455 section 5.2), and 1 MiB.
SIZES = (0, 1, 125, 126, 65535, 65536, 1 << 20)
NON_ASCII = "Zażółć gęślą jaźń, 世界, \N{EARTH GLOBE EUROPE-AFRICA}"
SUBPROTOCOL = "chat.v2"
#: What the client offers, and what the server is to choose of it.
SUBPROTOCOLS = (((), None), (("other",), None), (("other", SUBPROTOCOL), SUBPROTOCOL))
#: One of the standard that is routine, one that is not, and the two ranges that are free.
CLOSE_CODES = (1000, 1008, 3000, 4999)


def _binary(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def _text(size: int) -> str:
    return ("The quick brown fox. " * (size // 21 + 1))[:size]


#: Name -> message.
MESSAGES: dict[str, str | bytes] = {
    **{f"binary-{size}": _binary(size) for size in SIZES},
    **{f"text-{size}": _text(size) for size in SIZES},
    "text-non-ascii": NON_ASCII,
    "text-non-ascii-long": NON_ASCII * 2000,
}
