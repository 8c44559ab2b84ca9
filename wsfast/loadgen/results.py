"""The outcome of a run: what the workers counted, merged exactly, and its JSON form."""

from __future__ import annotations

import collections
import dataclasses
import os
import platform
from collections.abc import Sequence
from typing import Any

from wsfast import __version__
from wsfast.loadgen.hdrblob import from_dict, to_dict
from wsfast.loadgen.histogram import Histogram

__all__ = ["BUSY_PERCENT", "PERCENTILES", "SCHEMA", "Results", "Worker"]

#: Version of the JSON form. A key keeps its meaning within a version; new keys may come.
SCHEMA = 1

#: Above this share of a core a worker had no time to spare: what it measured is its own limit.
BUSY_PERCENT = 90.0

#: What is reported of every histogram: name and percentage.
PERCENTILES = (
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
)

#: Counters that workers send and that add up.
COUNTERS = (
    "asked",
    "opened",
    "sent",
    "received",
    "measured",
    "unanswered",
    "lost",
    "duplicate",
    "unexpected",
    "mismatch",
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
    """

    pid: int
    cpu: int | None
    cpu_percent: float
    max_rss_bytes: int
    connections: int

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
        latency: round trips from the actual send time.
        handshake: from connect() to the checked 101.
        server_errors: by kind, what the server or the network did.
        generator_errors: by kind, what this host could not do.
        workers: one entry per process.
        target_pid: process whose CPU time was read, or None.
        target_cpu_seconds: CPU time of that process within the window, or None.
        interrupted: whether the user stopped the run.
    """

    settings: dict[str, Any]
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    window_seconds: float = 0.0
    connect_seconds: float = 0.0
    latency: Histogram = dataclasses.field(default_factory=Histogram)
    handshake: Histogram = dataclasses.field(default_factory=Histogram)
    server_errors: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    generator_errors: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    workers: list[Worker] = dataclasses.field(default_factory=list)
    target_pid: int | None = None
    target_cpu_seconds: float | None = None
    interrupted: bool = False

    def add(self, part: dict[str, Any]) -> None:
        """Add what one worker reported (`wsfast.loadgen.worker` makes it).

        Raises:
            KeyError: a field is missing.
        """
        self.counts.update({name: part[name] for name in COUNTERS})
        self.window_seconds = max(self.window_seconds, part["window_seconds"])
        self.connect_seconds = max(self.connect_seconds, part["connect_seconds"])
        self.latency.merge(from_dict(part["latency"]))
        self.handshake.merge(from_dict(part["handshake"]))
        self.server_errors.update(part["errors"]["server"])
        self.generator_errors.update(part["errors"]["generator"])
        self.workers.append(Worker(**part["worker"]))

    @property
    def failed(self) -> int:
        """Connections that were asked for and never opened."""
        return self.counts["asked"] - self.counts["opened"]

    @property
    def messages_per_second(self) -> float:
        """Answers per second of the window."""
        return self.counts["measured"] / self.window_seconds if self.window_seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Payload bytes of those answers; as many went the other way."""
        return self.messages_per_second * float(self.settings["size"])

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

    def to_dict(self) -> dict[str, Any]:
        """The JSON form. Times are nanoseconds unless the key says seconds."""
        return {
            "schema": SCHEMA,
            "program": "wsfast-bench",
            "mode": "echo",
            "load": "closed-loop",
            "interrupted": self.interrupted,
            "settings": self.settings,
            "summary": {
                "window_seconds": self.window_seconds,
                "messages_per_second": self.messages_per_second,
                "payload_bytes_per_second": self.bytes_per_second,
                **{name: self.counts[name] for name in COUNTERS[2:]},
            },
            "latency": {"actual": summary(self.latency)},
            "connections": {
                "asked": self.counts["asked"],
                "opened": self.counts["opened"],
                "failed": self.failed,
                "seconds": self.connect_seconds,
                "handshake": summary(self.handshake),
            },
            "errors": {
                "server": dict(self.server_errors),
                "generator": dict(self.generator_errors),
            },
            "generator": {
                "bound": self.generator_bound,
                "wsfast": __version__,
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.release()} {platform.machine()}",
                "cpus": os.cpu_count(),
                "workers": [dataclasses.asdict(worker) for worker in self.workers],
            },
            "target": self.target(),
        }

    def target(self) -> dict[str, Any] | None:
        """The part of the JSON on the process given with --target-pid, or None."""
        if self.target_pid is None:
            return None
        seconds = self.target_cpu_seconds
        share = seconds and self.window_seconds and 100.0 * seconds / self.window_seconds
        return {
            "pid": self.target_pid,
            "cpu_seconds": seconds,
            "cpu_percent": share,
            "messages_per_cpu_second": self.messages_per_target_cpu_second,
        }


def summary(
    histogram: Histogram, names: Sequence[tuple[str, float]] = PERCENTILES
) -> dict[str, Any]:
    """A histogram for the JSON: its figures in ns, and all its counts as an HDR text."""
    values = histogram.percentiles([percentage for _, percentage in names])
    return {
        "count": histogram.total,
        "mean": histogram.mean,
        "stdev": histogram.stdev,
        **dict(zip((name for name, _ in names), values, strict=True)),
        **to_dict(histogram),
    }
