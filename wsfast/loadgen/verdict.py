"""Whether the numbers are the server's: who was the bottleneck, and how that shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from wsfast.loadgen.results import BUSY_PERCENT, Results
from wsfast.loadgen.units import format_count, format_duration

__all__ = ["GENERATOR_BOUND", "SERVER_BOUND", "VALID", "Verdict", "judge"]

VALID = "VALID"
SERVER_BOUND = "SERVER-BOUND"
GENERATOR_BOUND = "GENERATOR-BOUND"

#: A schedule that is kept to this share of the median latency, or to this time, is kept.
LAG_SHARE = 0.1
LAG_NS = 1_000_000.0
#: A rate that is reached to this share is reached.
REACHED = 0.99


class Verdict(NamedTuple):
    """Who was the bottleneck.

    Attributes:
        name: VALID, SERVER_BOUND or GENERATOR_BOUND.
        reasons: each names a figure and its limit; none for VALID.
    """

    name: str
    reasons: tuple[str, ...] = ()


def judge(results: Results) -> Verdict:
    """The generator is looked at first: what it could not do says nothing of the server."""
    for name, reasons in (
        (GENERATOR_BOUND, tuple(generator_reasons(results))),
        (SERVER_BOUND, tuple(server_reasons(results))),
    ):
        if reasons:
            return Verdict(name, reasons)
    return Verdict(VALID)


def generator_reasons(results: Results) -> Iterator[str]:
    """How it shows that the generator was the bottleneck."""
    for worker in results.workers:
        if worker.busy:
            share, limit = worker.cpu_percent, BUSY_PERCENT
            yield f"worker {worker.pid} used {share:.0f} % of its core (limit {limit:.0f} %)"
    if not results.open_loop:
        return
    lag = results.histogram("lag")
    late = lag.percentiles([99.0])[0]
    limit = max(LAG_NS, LAG_SHARE * results.latency.percentiles([50.0])[0])
    if late > limit:
        yield (
            f"messages left late: p99 of the lag is {format_duration(late)} "
            f"(limit {format_duration(limit)})"
        )
    if results.counts["backlog"]:
        yield f"{format_count(results.counts['backlog'])} messages could not be sent when due"


def server_reasons(results: Results) -> Iterator[str]:
    """How it shows that the server was the bottleneck."""
    if results.settings["mode"] == "fanout":
        owed, came = results.expected, results.counts["received"]
        if came < REACHED * owed:
            yield f"{format_count(came)} of {format_count(owed)} deliveries came"
        return
    asked, answered = results.asked_rate, results.messages_per_second
    if asked and answered < REACHED * asked:
        yield (
            f"{format_count(answered)} answers/s of {format_count(asked)} messages/s asked for "
            f"(limit {100 * REACHED:.0f} %)"
        )
    share = results.target_cpu_percent
    if share is not None and share >= BUSY_PERCENT * results.target_processes:
        yield (
            f"the target used {share:.0f} % of a core "
            f"(limit {BUSY_PERCENT * results.target_processes:.0f} %)"
        )
