"""The slow and obvious versions of what the kernels do, to compare them with."""

from __future__ import annotations

__all__ = ["is_complete_utf8", "mask", "utf8_error_offset"]


def mask(data: bytes, key: bytes, offset: int = 0) -> bytes:
    """Masking as RFC 6455 section 5.3 states it: octet i of the payload meets key octet i mod 4.

    Args:
        data: what to mask.
        key: four bytes.
        offset: how many bytes of the payload come before data.
    """
    return bytes(octet ^ key[(offset + i) % 4] for i, octet in enumerate(data))


def utf8_error_offset(data: bytes) -> int:
    """Offset of the first byte that cannot continue a valid text; len(data) if there is none.

    Decides for each code point which bytes its encoding has, from the ranges of RFC 3629
    section 4; a text that ends inside a sequence has no error.
    """
    at = 0
    while at < len(data):
        ranges = _ranges(data[at])
        if not ranges:
            return at
        for i, (low, high) in enumerate(ranges, at):
            if i == len(data):
                return i
            if not low <= data[i] <= high:
                return i
        at += len(ranges)
    return at


def is_complete_utf8(data: bytes) -> bool:
    """Whether CPython's decoder accepts data."""
    try:
        data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return True


TAIL = (0x80, 0xBF)

#: RFC 3629 section 4: for each range of first bytes, the ranges of the whole sequence.
SEQUENCES = [
    [(0x00, 0x7F)],
    [(0xC2, 0xDF), TAIL],
    [(0xE0, 0xE0), (0xA0, 0xBF), TAIL],
    [(0xE1, 0xEC), TAIL, TAIL],
    [(0xED, 0xED), (0x80, 0x9F), TAIL],
    [(0xEE, 0xEF), TAIL, TAIL],
    [(0xF0, 0xF0), (0x90, 0xBF), TAIL, TAIL],
    [(0xF1, 0xF3), TAIL, TAIL, TAIL],
    [(0xF4, 0xF4), (0x80, 0x8F), TAIL, TAIL],
]


def _ranges(first: int) -> list[tuple[int, int]]:
    """The sequence that starts with this byte; empty if none does."""
    for sequence in SEQUENCES:
        low, high = sequence[0]
        if low <= first <= high:
            return sequence
    return []
