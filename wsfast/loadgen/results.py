"""The outcome of a run: what the workers counted, merged exactly."""

from __future__ import annotations

import collections
import dataclasses
from itertools import zip_longest
from typing import Any

from wsfast.loadgen.hdrblob import from_dict
from wsfast.loadgen.histogram import Histogram
from wsfast.loadgen.stages import Stage, asked_over
from wsfast.loadgen.target import Sample

__all__ = ["BUSY_PERCENT", "COUNTERS", "PERCENTILES", "Results", "Worker"]

#: Above this share of a core a worker had no time to spare: what it measured is its own limit.
BUSY_PERCENT = 90.0

#: What is reported of every histogram: name and percentage.
PERCENTILES = (
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
)

#: Counters that workers send and that add up.
COUNTERS = (
    "asked",
    "opened",
    "sent",
    "received",
    "measured",
    "measured_bytes",
    "unanswered",
    "censored",
    "lost",
    "reordered",
    "duplicate",
    "unexpected",
    "foreign",
    "mismatch",
    "backlog",
    "reads",
    "reconnected",
    "gaps",
    "window_sent",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """How one generator process fared.

    Attributes:
        pid: its process number.
        cpu: the CPU that it was pinned to, or None.
        cpu_percent: CPU time over the measured window, in percent of one core.
        max_rss_bytes: the most memory that it held.
        connections: how many it opened.
        io_uring: whether its messages left in batches, several with one system call.
    """

    pid: int
    cpu: int | None
    cpu_percent: float
    max_rss_bytes: int
    connections: int
    io_uring: bool = False

    @property
    def busy(self) -> bool:
        """Whether this worker had no time to spare."""
        return self.cpu_percent >= BUSY_PERCENT


@dataclasses.dataclass(slots=True, kw_only=True)
class Results:
    """Everything that a run measured, over all workers.

    Attributes:
        settings: what was asked for, as the JSON shows it.
        counts: the COUNTERS, summed. sent = received + lost + unanswered; `measured` are the
            answers that came within the window.
        window_seconds: length of the measured window, from the start to its end or last answer.
        connect_seconds: how long the connect phase took, of the slowest worker.
        histograms: by name: "handshake" from connect() to the checked 101, "actual" round trips
            from the time when a message left, "intended" from when it was due (open loop only),
            "warmup" those of the warm-up, "lag" from due to left (open loop only).
        censored_ns: everything from here on is a lower bound, as messages that were not answered
            are recorded with the time that they had waited; None: all were answered.
        worst: of each published message its slowest delivery, in ns; 0: there was none.
        stages: what became of each stage of the schedule.
        intervals: of each worker its seconds, as `wsfast.loadgen.intervals` keeps them.
        server_errors: by kind, what the server or the network did.
        generator_errors: by kind, what this host could not do.
        workers: one entry per process.
        target_pid: process whose CPU time was read, or None.
        target_cpu_seconds: CPU time of that process within the window, or None.
        target_after: how it and its children were at the end of the window, or None.
        target_grown_bytes: how much its memory grew while the connections opened, or None.
        interrupted: whether the user stopped the run.
    """

    settings: dict[str, Any]
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    window_seconds: float = 0.0
    connect_seconds: float = 0.0
    histograms: dict[str, Histogram] = dataclasses.field(default_factory=dict)
    censored_ns: int | None = None
    stages: list[Stage] = dataclasses.field(default_factory=list)
    intervals: list[list[dict[str, Any]]] = dataclasses.field(default_factory=list)
    worst: list[int] = dataclasses.field(default_factory=list)
    server_errors: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    generator_errors: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    workers: list[Worker] = dataclasses.field(default_factory=list)
    target_pid: int | None = None
    target_cpu_seconds: float | None = None
    target_after: Sample | None = None
    target_grown_bytes: int | None = None
    interrupted: bool = False

    def add(self, part: dict[str, Any]) -> None:
        """Add what one worker reported (`wsfast.loadgen.worker` makes it).

        Raises:
            KeyError: a field is missing.
        """
        self.counts.update({name: part[name] for name in COUNTERS})
        self.window_seconds = max(self.window_seconds, part["window_seconds"])
        self.connect_seconds = max(self.connect_seconds, part["connect_seconds"])
        for name, fields in part["histograms"].items():
            self.histograms.setdefault(name, Histogram()).merge(from_dict(fields))
        if part["censored_ns"] is not None:
            self.censored_ns = min(part["censored_ns"], self.censored_ns or part["censored_ns"])
        self.intervals.append(part["intervals"])
        self.stages += [Stage() for _ in part["stages"][len(self.stages) :]]
        for stage, row in zip(self.stages, part["stages"], strict=True):
            stage.add(row)
        self.worst = [max(pair) for pair in zip_longest(self.worst, part["worst"], fillvalue=0)]
        self.server_errors.update(part["errors"]["server"])
        self.generator_errors.update(part["errors"]["generator"])
        self.workers.append(Worker(**part["worker"]))

    @property
    def open_loop(self) -> bool:
        """Whether messages were sent on a schedule."""
        return self.settings["rate"] is not None

    @property
    def latency(self) -> Histogram:
        """The round trips that count: from intended time; of a closed loop from actual time."""
        return self.histogram("intended" if self.open_loop else "actual")

    @property
    def subscribers(self) -> int:
        """Open connections that published nothing."""
        return max(0, self.counts["opened"] - int(self.settings.get("lanes", 0)))

    @property
    def expected(self) -> int:
        """Deliveries that a fanout owes: every message to every subscriber of its topic."""
        return self.counts["sent"] * self.subscribers // int(self.settings["topics"])

    @property
    def last_subscriber(self) -> Histogram:
        """Of each message how long it took until the last subscriber had it."""
        histogram = Histogram()
        histogram.record_all(filter(None, self.worst))
        return histogram

    @property
    def handshake(self) -> Histogram:
        """From connect() to the checked 101."""
        return self.histogram("handshake")

    def histogram(self, name: str) -> Histogram:
        """One of `histograms`; empty if nothing of it was measured."""
        return self.histograms.get(name) or Histogram()

    @property
    def failed(self) -> int:
        """Connections that were asked for and never opened."""
        return self.counts["asked"] - self.counts["opened"]

    @property
    def connects_per_second(self) -> float:
        """Connections that opened, for each second of the connect phase."""
        return self.counts["opened"] / self.connect_seconds if self.connect_seconds else 0.0

    @property
    def messages_per_second(self) -> float:
        """Answers per second of the window."""
        return self.counts["measured"] / self.window_seconds if self.window_seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Payload bytes of those answers; as many went the other way."""
        return self.counts["measured_bytes"] / self.window_seconds if self.window_seconds else 0.0

    @property
    def messages_per_target_cpu_second(self) -> float | None:
        """Answers for each second of CPU time of the target, or None if that is not known."""
        return (
            self.counts["measured"] / self.target_cpu_seconds if self.target_cpu_seconds else None
        )

    @property
    def generator_bound(self) -> bool:
        """Whether any worker had no time to spare."""
        return any(worker.busy for worker in self.workers)

    @property
    def asked_rate(self) -> float | None:
        """Messages a second that the schedule held over the window; None in a closed loop."""
        if not self.open_loop:
            return None
        return asked_over(self.settings["rate"], self.settings["stages"])

    @property
    def achieved_rate(self) -> float:
        """Messages a second that left within the window."""
        return self.counts["window_sent"] / self.window_seconds if self.window_seconds else 0.0

    @property
    def target_processes(self) -> int:
        """The target and its children; each may use a core."""
        return 1 if self.target_after is None else self.target_after.processes

    @property
    def target_bytes_per_connection(self) -> float | None:
        """What the target's memory grew by for each connection that opened, or None."""
        if self.target_grown_bytes is None or not self.counts["opened"]:
            return None
        return self.target_grown_bytes / self.counts["opened"]

    @property
    def target_cpu_percent(self) -> float | None:
        """CPU time of the target over the window, in percent of one core, or None."""
        if not self.target_cpu_seconds or not self.window_seconds:
            return None
        return 100.0 * self.target_cpu_seconds / self.window_seconds
