"""The standard text form of a histogram: HdrHistogram's V2 encoding, compressed, in base64.

The hdrhistogram package writes and reads it, so the tools of HdrHistogram (C, Java, Python, the
web plotter) open these texts. Our slots are those of the package, in the same order (a test
compares them), hence the counts move as one block. The encoding carries the counts only: exact
sum, smallest and largest value travel beside it.

The package is imported when a histogram is encoded or decoded, not before.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy
from numpy.typing import NDArray

from wsfast.loadgen.histogram import DIGITS, HIGHEST, Histogram, restore

__all__ = ["from_dict", "to_dict", "to_text"]

#: The smallest value that the package tells from zero, in ns.
LOWEST = 1


def to_text(histogram: Histogram) -> str:
    """Encode the counts of a histogram.

    Args:
        histogram: the Histogram; it is not changed.

    Returns:
        ASCII text in base64, without line breaks.

    Raises:
        ModuleNotFoundError: the hdrhistogram package is not installed.
    """
    from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

    theirs = HdrHistogram(LOWEST, HIGHEST, DIGITS)
    numpy.frombuffer(theirs.counts, dtype=numpy.int64)[:] = histogram.counts
    used = numpy.flatnonzero(histogram.counts)
    if used.size:
        theirs.set_internal_tacking_values(int(used[0]), int(used[-1]), histogram.total)
    return str(theirs.encode(), "ascii")


def counts_from(text: str) -> NDArray[numpy.int64]:
    """The counts of a text that `to_text` made, or any other tool from a like histogram.

    Raises:
        ModuleNotFoundError: the hdrhistogram package is not installed.
        ValueError: it is no such text, or its histogram has another range or resolution.
    """
    from hdrh.codec import (  # type: ignore[import-untyped]
        HdrCookieException,
        HdrLengthException,
    )
    from hdrh.histogram import HdrHistogram

    unreadable = (HdrCookieException, HdrLengthException, zlib.error, LookupError, OverflowError)
    try:
        theirs = HdrHistogram.decode(text)
    except (*unreadable, ValueError) as error:
        reason = str(error) or "it starts like no such text"
        raise ValueError(f"this is no HdrHistogram of version 2: {reason}") from None
    shape = theirs.lowest_trackable_value, theirs.highest_trackable_value
    if (*shape, theirs.significant_figures) != (LOWEST, HIGHEST, DIGITS):
        raise ValueError(
            f"a histogram of {shape[0]}..{shape[1]}, {theirs.significant_figures} digits "
            "is not one of ours"
        )
    return numpy.frombuffer(theirs.counts, dtype=numpy.int64)


def to_dict(histogram: Histogram) -> dict[str, Any]:
    """Everything that a histogram holds, ready for JSON. `from_dict` gets all of it back.

    Raises:
        ModuleNotFoundError: the hdrhistogram package is not installed.
    """
    return {
        "hdr": to_text(histogram),
        "clamped": histogram.clamped,
        "sum": histogram.sum,
        "min": histogram.minimum,
        "max": histogram.maximum,
    }


def from_dict(fields: dict[str, Any]) -> Histogram:
    """The histogram that `to_dict` took apart, equal in every count.

    Raises:
        KeyError: a field is missing.
        ModuleNotFoundError: the hdrhistogram package is not installed.
        ValueError: the text in "hdr" is not a histogram of ours.
    """
    return restore(
        counts_from(fields["hdr"]), fields["clamped"], fields["sum"], fields["min"], fields["max"]
    )
