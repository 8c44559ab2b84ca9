"""How people write amounts: 10k, 5m, 2s, and back."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "Sizes",
    "format_bytes",
    "format_count",
    "format_duration",
    "parse_bytes",
    "parse_count",
    "parse_duration",
    "parse_sizes",
    "parse_stages",
]

NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]*)", re.IGNORECASE | re.ASCII)
COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
SIZES = {
    "": 1,
    "b": 1,
    "k": 2**10,
    "kib": 2**10,
    "kb": 10**3,
    "m": 2**20,
    "mib": 2**20,
    "mb": 10**6,
}
SECONDS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def split_unit(text: str) -> tuple[float, str]:
    """The number and the unit (in lower case) of an amount.

    Raises:
        ValueError: it is no number with a unit.
    """
    match = NUMBER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no amount like 10, 10k or 2.5s")
    return float(match[1]), match[2].lower()


def scaled(text: str, units: dict[str, int], what: str) -> int:
    """A whole number of something, with one of the units of the table."""
    number, unit = split_unit(text)
    if unit not in units:
        known = ", ".join(sorted(name for name in units if name))
        raise ValueError(f"{unit!r} in {text!r} is no unit of {what}; known: {known}")
    value = number * units[unit]
    if value != int(value):
        raise ValueError(f"{text!r} is no whole number of {what}")
    return int(value)


def parse_count(text: str) -> int:
    """Read a count: 500, 10k, 1.5m, 1g (powers of ten).

    Args:
        text: what the user wrote.

    Returns:
        The count, an int >= 0.

    Raises:
        ValueError: it is no whole number, or the unit is unknown.
    """
    return scaled(text, COUNTS, "a count")


def parse_bytes(text: str) -> int:
    """Read a size: 20, 20b, 16k or 16kib (16,384 bytes), 16kb (16,000 bytes), 1m, 1mib, 1mb.

    Args:
        text: what the user wrote.

    Returns:
        The size in bytes, an int >= 0.

    Raises:
        ValueError: it is no whole number of bytes, or the unit is unknown.
    """
    return scaled(text, SIZES, "bytes")


def parse_duration(text: str) -> float:
    """Read a duration: 500ms, 2s, 5m, 1h; without a unit it is seconds.

    Args:
        text: what the user wrote.

    Returns:
        The duration in seconds, a float > 0.

    Raises:
        ValueError: it is no amount, the unit is unknown, or it is zero.
    """
    number, unit = split_unit(text)
    if unit not in SECONDS:
        known = ", ".join(name for name in SECONDS if name)
        raise ValueError(f"{unit!r} in {text!r} is no unit of time; known: {known}")
    if number == 0:
        raise ValueError("a duration must be longer than zero")
    return number * SECONDS[unit]


class Sizes(NamedTuple):
    """Sizes of payloads in bytes.

    Attributes:
        most: the longest one; all of them, if the others are None.
        least: they are evenly distributed from here to `most`.
        mean: they are exponentially distributed around it, cut at `most`.
    """

    most: int
    least: int | None = None
    mean: float | None = None


#: Exponentially distributed sizes are cut at so many times their mean: one in nine million.
LONGEST_OF_MEAN = 16


def parse_sizes(text: str) -> Sizes:
    """Read sizes: "512", "20-2k" (evenly distributed), "exp:512" (exponentially, the mean).

    Raises:
        ValueError: it is none of these, the range is empty, or the mean is 0.
    """
    least, dash, most = text.partition("-")
    if text.startswith("exp:"):
        mean = parse_bytes(text[4:])
        if not mean:
            raise ValueError(f"{text!r}: a mean size is 1 byte or more")
        return Sizes(LONGEST_OF_MEAN * mean, None, float(mean))
    if not dash:
        return Sizes(parse_bytes(text))
    sizes = Sizes(parse_bytes(most), parse_bytes(least))
    if parse_bytes(least) > sizes.most:
        raise ValueError(f"{text!r} is an empty range of sizes")
    return sizes


def parse_stages(text: str) -> tuple[tuple[float, float], ...]:
    """Read stages: "30s:1k,2m:10k" is a ramp to 1,000 a second in 30 s, then one to 10,000.

    Returns:
        (seconds, rate) pairs.

    Raises:
        ValueError: a stage is not DURATION:RATE.
    """
    stages = []
    for stage in text.split(","):
        duration, colon, rate = stage.partition(":")
        if not colon:
            raise ValueError(f"{stage!r} is no stage like 30s:1k")
        stages.append((parse_duration(duration), float(parse_count(rate))))
    return tuple(stages)


def format_duration(ns: float) -> str:
    """A duration for people, three digits: 950 ns, 12.3 us, 1.20 ms, 3.00 s."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size * 0.9995:
            return f"{three_digits(ns / size)} {unit}"
    return f"{ns:.0f} ns"


def format_bytes(size: int) -> str:
    """A size for people: 20 B, 16 KiB, 1.5 MiB, 3 GiB."""
    for unit, step in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= step:
            return f"{size / step:.4g} {unit}"
    return f"{size} B"


def format_count(number: float) -> str:
    """A count for people, in groups of three digits: 1,234,567."""
    return f"{number:,.0f}"


def three_digits(number: float) -> str:
    """The number with three significant digits and no exponent."""
    if number >= 99.95:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"
