"""`python -m wsfast.speedups bench`: every workload of a library unpatched and at each level."""

from __future__ import annotations

import contextlib
import gc
import importlib
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .library import Library, Wish
from .target import LEVELS, Workload

__all__ = ["Row", "as_table", "measure"]

#: "" is the library as it comes.
STATES = ("", *LEVELS)

#: How long one sample takes, in seconds.
SAMPLE_SECONDS = 0.002


class Row(NamedTuple):
    """One workload.

    Attributes:
        library: its name on the package index.
        name: what was done.
        size: payload bytes of a frame.
        seconds: of the library as it comes, and at each level: the median per frame.
        ratios: how many times as fast each level is: the median over the rounds.
    """

    library: str
    name: str
    size: int
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]


def measure(library: Library, *, rounds: int = 11) -> list[Row]:
    """Time a library's workloads in turns, so that a change of speed falls on all states alike.

    The library is imported for it, as far as that goes, and left unpatched.

    Args:
        rounds: how many turns each state gets.
    """
    for part in library.target.parts:
        with contextlib.suppress(ImportError):  # of what only some of its users have
            importlib.import_module(part.trigger)
    samples: dict[tuple[str, int], list[list[float]]] = {}
    try:
        for _ in range(rounds):
            for number, state in enumerate(STATES):
                for work, seconds in _samples(library, state):
                    columns = samples.setdefault((work.name, work.size), [[] for _ in STATES])
                    columns[number].append(seconds / work.frames)
    finally:
        library.release()
    return [_row(library, name, size, columns) for (name, size), columns in samples.items()]


def _samples(library: Library, state: str) -> Iterator[tuple[Workload, float]]:
    library.release()
    for level in LEVELS:
        if level == state:
            library.ask(Wish(level, allow_untested=True))
    for work in library.target.workloads():
        yield work, _time(work)


def _time(work: Workload) -> float:
    """Seconds per call: as many calls as fill a sample, after one that warms up."""
    work.run()
    start = time.perf_counter()
    work.run()
    once = time.perf_counter() - start
    count = max(1, int(SAMPLE_SECONDS / max(once, 1e-9)))
    enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(count):
            work.run()
        return (time.perf_counter() - start) / count
    finally:
        if enabled:
            gc.enable()


def _row(library: Library, name: str, size: int, columns: list[list[float]]) -> Row:
    plain = columns[0]
    ratios = tuple(
        statistics.median(a / b for a, b in zip(plain, column, strict=True))
        for column in columns[1:]
    )
    medians = tuple(map(statistics.median, columns))
    return Row(library.target.library, name, size, medians, ratios)


def as_table(rows: Sequence[Row]) -> str:
    """Lines for people, microseconds per frame."""
    lines = [f"{'us a frame':58} {'plain':>10} {'kernels':>10} {'frames':>10}   times as fast"]
    for row in rows:
        figures = " ".join(f"{1e6 * each:10.2f}" for each in row.seconds)
        times = " / ".join(f"{each:.2f}" for each in row.ratios)
        lines.append(f"{row.library:18} {row.name:30} {row.size:8} {figures}   {times}")
    return "\n".join(lines)
