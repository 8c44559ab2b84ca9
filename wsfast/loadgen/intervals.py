"""What happened in each second of a run: the difference between two looks at the counters.

A look costs some ten microseconds and nothing per message. The counts of the slots that were hit
are kept (a few hundred numbers a second), so that the seconds can be merged over workers and
written as an HdrHistogram log; only at the end do they become histograms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from numpy.typing import NDArray

from wsfast.loadgen.histogram import SLOTS, Histogram, restore, slot_bounds

__all__ = ["INTERVAL_NS", "Intervals", "histogram_of", "merge_intervals"]

INTERVAL_NS = 1_000_000_000

#: Counters whose growth a row holds.
COUNTERS = ("sent", "received", "lost", "mismatch", "backlog")


class Intervals:
    """Rows of one worker, one a second from the begin of its window on.

    Args:
        histogram: whose growth is kept: latency from intended time, in a closed loop the actual.
    """

    def __init__(self, histogram: Histogram) -> None:
        self.rows: list[dict[str, Any]] = []
        self._histogram = histogram
        self._before: dict[str, int] = {}
        self._slots: NDArray[numpy.int64] = numpy.zeros(SLOTS, dtype=numpy.int64)
        self._begun_ns = 0

    def begin(self, now_ns: int, counts: Mapping[str, int]) -> None:
        """The window begins; what was counted before belongs to no second."""
        self._begun_ns = now_ns
        self._look(counts)

    def is_due(self, now_ns: int) -> bool:
        """Whether the current second is over."""
        over = self._begun_ns + (len(self.rows) + 1) * INTERVAL_NS
        return bool(self._begun_ns) and now_ns >= over

    def close(self, now_ns: int, counts: Mapping[str, int]) -> dict[str, Any]:
        """End the current second.

        Returns:
            The row without its slots: second, its counters, p50, p99 and max in ns.
        """
        slots_before, before = self._slots, self._before
        self._look(counts)
        grown = self._slots - slots_before
        used = numpy.flatnonzero(grown)
        row = {
            "second": len(self.rows),
            "seconds": (now_ns - self._begun_ns) / 1e9 - len(self.rows),
            **{name: self._before[name] - before[name] for name in COUNTERS},
            **_figures(used, grown[used]),
        }
        self.rows.append({**row, "slots": used.tolist(), "hits": grown[used].tolist()})
        return row

    def _look(self, counts: Mapping[str, int]) -> None:
        self._before = {name: counts.get(name, 0) for name in COUNTERS}
        self._slots = numpy.array(self._histogram.counts)


def _figures(used: NDArray[numpy.int64], hits: NDArray[numpy.int64]) -> dict[str, int]:
    """p50, p99 and the maximum of the slots that were hit, each the top of its slot."""
    if not used.size:
        return {"p50": 0, "p99": 0, "max": 0}
    running = numpy.cumsum(hits)
    ranks = (running[-1] * 0.5, running[-1] * 0.99, running[-1])
    tops = [slot_bounds(int(used[numpy.searchsorted(running, rank)]))[1] for rank in ranks]
    return dict(zip(("p50", "p99", "max"), tops, strict=True))


def merge_intervals(workers: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of all workers together: counters add up, slots are merged exactly.

    Args:
        workers: of each its `Intervals.rows`.
    """
    merged = []
    for second in range(max(map(len, workers), default=0)):
        rows = [rows[second] for rows in workers if second < len(rows)]
        grown = numpy.zeros(SLOTS, dtype=numpy.int64)
        for row in rows:
            grown += _counts(row)
        used = numpy.flatnonzero(grown)
        merged.append(
            {
                "second": second,
                "seconds": max(row["seconds"] for row in rows),
                **{name: sum(row[name] for row in rows) for name in COUNTERS},
                **_figures(used, grown[used]),
                "slots": used.tolist(),
                "hits": grown[used].tolist(),
            }
        )
    return merged


def _counts(row: Mapping[str, Any]) -> NDArray[numpy.int64]:
    """The counts of all slots."""
    counts = numpy.zeros(SLOTS, dtype=numpy.int64)
    counts[numpy.asarray(row["slots"], dtype=numpy.intp)] = row["hits"]
    return counts


def histogram_of(row: Mapping[str, Any]) -> Histogram:
    """The histogram of one row; sum, minimum and maximum as near as its slots tell them."""
    counts = _counts(row)
    bounds = [slot_bounds(slot) for slot in row["slots"]]
    total = sum(
        (low + high) // 2 * hit for (low, high), hit in zip(bounds, row["hits"], strict=True)
    )
    lowest, highest = (bounds[0][0], bounds[-1][1]) if bounds else (0, 0)
    return restore(counts, 0, total, lowest, highest)
