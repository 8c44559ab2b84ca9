"""The stages of a schedule (--stages): what each was asked for, and what became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wsfast.loadgen.hdrblob import from_dict
from wsfast.loadgen.histogram import Histogram

__all__ = ["NAMES", "CpuMarks", "Planned", "Stage", "asked_over", "planned"]

#: Histograms of a stage.
NAMES = ("intended", "actual", "lag")


class Planned(NamedTuple):
    """What a stage was asked for.

    Attributes:
        seconds: how long it is.
        from_rate, to_rate: messages a second at its begin and its end, in a straight line.
    """

    seconds: float
    from_rate: float
    to_rate: float

    @property
    def messages(self) -> float:
        """How many are due in it."""
        return (self.from_rate + self.to_rate) / 2.0 * self.seconds


def planned(rate: float, stages: Sequence[tuple[float, float]]) -> Iterator[Planned]:
    """The stages of a load.

    Args:
        rate: where the first one begins.
        stages: (seconds, rate) pairs.
    """
    for seconds, goal in stages:
        yield Planned(seconds, rate, goal)
        rate = goal


def asked_over(rate: float, stages: Sequence[tuple[float, float]]) -> float:
    """Messages a second over all stages; the rate itself if there are none."""
    parts = list(planned(rate, stages))
    if not parts:
        return rate
    return sum(part.messages for part in parts) / sum(part.seconds for part in parts)


@dataclasses.dataclass(slots=True)
class Stage:
    """What became of the messages that were due in a stage, over all workers.

    Attributes:
        sent, received, censored: those that left, those that were answered whenever it was, and
            those that were still under way at the end of the run.
        histograms: by `NAMES`.
        cpu_percents: of each worker that came to its end, in percent of a core.
    """

    sent: int = 0
    received: int = 0
    censored: int = 0
    histograms: dict[str, Histogram] = dataclasses.field(
        default_factory=lambda: {name: Histogram() for name in NAMES}
    )
    cpu_percents: list[float] = dataclasses.field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add what one worker counted (`wsfast.loadgen.worker` makes it).

        Raises:
            KeyError: a field is missing.
        """
        self.sent += row["sent"]
        self.received += row["received"]
        self.censored += row["censored"]
        for name in NAMES:
            self.histograms[name].merge(from_dict(row["histograms"][name]))
        if row["cpu_percent"] is not None:
            self.cpu_percents.append(row["cpu_percent"])


class CpuMarks:
    """CPU time of a process at the ends of stages.

    Args:
        seconds: how long each stage is.
    """

    def __init__(self, seconds: Sequence[float]) -> None:
        self._seconds = seconds
        self._ends: list[int] = []
        self._marks: list[tuple[int, float]] = []

    def begin(self, start_ns: int, cpu_seconds: float) -> None:
        """The first stage begins, at this time in nanoseconds."""
        passed = 0.0
        for seconds in self._seconds:
            passed += seconds
            self._ends.append(start_ns + int(passed * 1e9))
        self._marks.append((start_ns, cpu_seconds))

    def is_due(self, now_ns: int) -> bool:
        """Whether the current stage is over."""
        return (
            0 < len(self._marks) <= len(self._ends) and now_ns >= self._ends[len(self._marks) - 1]
        )

    def mark(self, now_ns: int, cpu_seconds: float) -> None:
        """The current stage is over; of several that are, each has its share by its length."""
        while self.is_due(now_ns):
            before_ns, before = self._marks[-1]
            later = [end for end in self._ends[len(self._marks) :] if end <= now_ns]
            if not later:
                self._marks.append((now_ns, cpu_seconds))
                return
            end = self._ends[len(self._marks) - 1]
            share = (end - before_ns) / (now_ns - before_ns)
            self._marks.append((end, before + share * (cpu_seconds - before)))

    def percents(self) -> list[float | None]:
        """Of each stage the share of a core, in percent; None: it did not come to its end."""
        shares: list[float | None] = [
            100.0 * (cpu - cpu_before) / max(1e-9, (ns - ns_before) / 1e9)
            for (ns_before, cpu_before), (ns, cpu) in zip(
                self._marks, self._marks[1:], strict=False
            )
        ]
        missing = len(self._seconds) - len(shares)
        return shares[: len(self._seconds)] + [None] * missing
