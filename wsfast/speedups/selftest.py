"""Original and replacement side by side: the same value of the same type, or the same error."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from random import Random

__all__ = [
    "SIZES",
    "TEXTS",
    "Mismatch",
    "Outcome",
    "compare",
    "frame_bytes",
    "outcome",
    "pieces",
    "sizes",
]

#: Payload sizes at which something changes: lengths' forms, the widths of SIMD loops, blocks.
SIZES = (*range(0, 35), 63, 64, 65, 125, 126, 127, 128, 255, 256, 257, 1000, 4095, 4097)

#: Texts and near-texts: every length of a code point, and every way to be wrong in it.
TEXTS = (
    b"",
    b"plain ASCII",
    "žluťoučký kůň".encode(),
    "漢字かな交じり文".encode(),
    "emoji \U0001f600 in text".encode(),
    b"\xc3",
    b"cut \xe6\xbc",
    b"\x80 stray",
    b"\xc0\xaf overlong",
    b"\xed\xa0\x80 surrogate",
    b"\xf4\x90\x80\x80 above the last plane",
    b"good " * 20 + b"\xff",
)


class Mismatch(Exception):
    """A replacement does not do what the original does."""


class Outcome(NamedTuple):
    """What a call came to, types included."""

    kind: str
    value: Any


def typed(value: Any) -> Any:
    """The value with the types of everything in it, so that b"" and bytearray() differ."""
    if isinstance(value, list | tuple):
        return type(value), [typed(each) for each in value]
    if isinstance(value, dict):
        return type(value), [(key, typed(each)) for key, each in value.items()]
    if isinstance(value, memoryview):
        return type(value), value.tobytes()
    return type(value), value


def outcome(call: Callable[..., Any], *arguments: Any, **options: Any) -> Outcome:
    """Call it: ("returned", value and types), or ("raised", type and text of the error)."""
    try:
        value = call(*arguments, **options)
    except Exception as error:
        return Outcome("raised", (type(error), str(error)))
    return Outcome("returned", typed(value))


def compare(
    what: str, original: Callable[..., Any], replacement: Callable[..., Any], *arguments: Any
) -> None:
    """Call both with equal arguments; bytearrays are copied, and compared afterwards too.

    Raises:
        Mismatch: naming the call and both outcomes.
    """
    ours, theirs = _copies(arguments), _copies(arguments)
    expected, got = outcome(original, *theirs), outcome(replacement, *ours)
    if expected != got or typed(ours) != typed(theirs):
        raise Mismatch(
            f"{what}{_shown(arguments)}: the original {_shown(expected)}, wsfast {_shown(got)}"
        )


def _copies(arguments: tuple[Any, ...]) -> list[Any]:
    return [bytearray(each) if type(each) is bytearray else each for each in arguments]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}... ({len(text)} characters)"


def sizes(random: Random, count: int = 24) -> list[int]:
    """Some of SIZES, the ends of every length form always among them."""
    return [0, 1, 125, 126, 4097, *random.sample(SIZES, count)]


def pieces(data: bytes, random: Random) -> Iterator[bytes]:
    """The data cut at random places; sometimes not at all, sometimes into single bytes."""
    longest = random.choice((1, 2, 7, 100, len(data), 0))
    while data:
        size = random.randint(1, longest) if longest else len(data)
        yield data[:size]
        data = data[size:]


def frame_bytes(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv: int = 0,
    masking_key: bytes | None = None,
    length_form: int | None = None,
) -> bytes:
    """A frame built slowly, as RFC 6455 section 5.2 draws it.

    Args:
        rsv: RSV1 is 4, RSV2 is 2, RSV3 is 1.
        masking_key: 4 bytes, or None for a frame that is not masked.
        length_form: 7, 16 or 64 bits, whether or not it is the shortest; None is the shortest.
    """
    size = len(payload)
    form = length_form or (7 if size < 126 else 16 if size < 1 << 16 else 64)
    masked = 0 if masking_key is None else 0x80
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if form == 7:
        head += bytes([masked | size])
    else:
        head += struct.pack("!BH" if form == 16 else "!BQ", masked | (126 + (form == 64)), size)
    if masking_key is None:
        return head + payload
    return head + masking_key + bytes(b ^ masking_key[i & 3] for i, b in enumerate(payload))
