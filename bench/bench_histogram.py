"""The HDR histogram of the load generator beside the hdrhistogram package.

    python -m bench.bench_histogram

Recording is measured as `record_all` over a list, so that both sides start from Python integers;
the engine records from C and saves that part. The values are log-normal around 100 us, which is
what the latencies of a loaded server look like.
"""

from __future__ import annotations

import importlib.util
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

from bench.interleave import Row, interleave, row, table, timed
from wsfast.loadgen.histogram import DIGITS, HIGHEST, Histogram

__all__ = ["VALUES", "main", "measure", "rows"]

COUNT = 1000
_source = random.Random(1)
VALUES = [int(_source.lognormvariate(math.log(100_000), 1.2)) for _ in range(COUNT)]
PERCENTAGES = [50.0, 75.0, 90.0, 99.0, 99.9]
#: A message with 32 in flight costs the generator about 300 ns; recording it at most a tenth.
MAX_SECONDS = 30e-9

Work = tuple[Callable[..., Any], tuple[Any, ...]]


def filled() -> Histogram:
    """Ours, with all values."""
    histogram = Histogram()
    histogram.record_all(VALUES)
    return histogram


def record_theirs(histogram: Any, values: list[int]) -> None:
    """The package has no call for many values."""
    record = histogram.record_value
    for value in values:
        record(value)


def theirs() -> Iterator[tuple[str, Work]]:
    """What the package does of it, checked against ours."""
    if importlib.util.find_spec("hdrh") is None:
        print("hdrhistogram is not installed: left out")
        return
    from hdrh.histogram import HdrHistogram

    histogram, other = (HdrHistogram(1, HIGHEST, DIGITS) for _ in range(2))
    record_theirs(histogram, VALUES)
    record_theirs(other, VALUES)
    counts = [histogram.get_count_at_index(slot) for slot in range(histogram.counts_len)]
    assert counts == filled().counts.tolist()
    yield "record, hdrhistogram", (record_theirs, (histogram, VALUES))
    yield "percentiles, hdrhistogram", (other.get_percentile_to_value_dict, (PERCENTAGES,))
    yield "merge, hdrhistogram", (HdrHistogram(1, HIGHEST, DIGITS).add, (other,))


def works() -> Iterator[tuple[str, Work]]:
    """Name and work of every sampler."""
    histogram = filled()
    assert histogram.total == COUNT
    assert histogram.percentiles([0.0, 100.0])[1] == max(VALUES)
    yield "record", (Histogram().record_all, (VALUES,))
    yield "iterate", (sum, (VALUES,))
    yield "percentiles", (histogram.percentiles, (PERCENTAGES,))
    yield "merge", (Histogram().merge, (histogram,))
    yield from theirs()


def measure(seconds: float = 6.0) -> dict[str, list[float]]:
    """Seconds per call of each, one figure a round; recording: per value."""
    samplers = {name: timed(function, *args) for name, (function, args) in works()}
    samples = interleave(samplers, rounds=101, seconds=seconds)
    for name, figures in samples.items():
        if name.startswith(("record", "iterate")):
            samples[name] = [each / COUNT for each in figures]
    return samples


def rows(samples: dict[str, list[float]]) -> Iterator[Row]:
    """The lines of the table."""
    samples = {**samples, "limit": [MAX_SECONDS] * len(samples["record"])}
    yield row("record / 30 ns (absolute)", samples, "record", "limit", "<= 1")
    targets = {"record": ">= 20", "percentiles": ">= 5", "merge": ">= 2"}
    for name, target in targets.items():
        peer = f"{name}, hdrhistogram"
        if peer in samples:
            yield row(f"{name}: hdrhistogram / wsfast", samples, peer, name, target)


def main() -> int:
    """Measure and print; 0 if every target is met."""
    samples = measure()
    for name, figures in samples.items():
        print(f"{name:56} {statistics.median(figures) * 1e9:12.1f} ns")
    return 0 if table("HDR histogram", rows(samples)) else 1


if __name__ == "__main__":
    sys.exit(main())
