"""The JSON form of the results. Times are nanoseconds unless a key says seconds."""

from __future__ import annotations

import dataclasses
import os
import platform
from typing import Any

from wsfast import __version__
from wsfast.loadgen.hdrblob import to_dict
from wsfast.loadgen.histogram import Histogram
from wsfast.loadgen.intervals import merge_intervals
from wsfast.loadgen.results import PERCENTILES, Results
from wsfast.loadgen.stages import NAMES, planned
from wsfast.loadgen.verdict import judge

__all__ = ["SCHEMA", "document_of", "figures"]

#: Version of the form. A key keeps its meaning within a version; new keys may come.
SCHEMA = 2

#: Counters that stand in the summary.
SUMMED = (
    "sent",
    "received",
    "measured",
    "lost",
    "reordered",
    "duplicate",
    "unexpected",
    "foreign",
    "mismatch",
    "unanswered",
    "censored",
    "backlog",
)


def document_of(results: Results) -> dict[str, Any]:
    """Everything that a run measured; docs/bench.md says what each key means."""
    verdict = judge(results)
    return {
        "schema": SCHEMA,
        "program": "wsfast-bench",
        "version": __version__,
        "mode": results.settings["mode"],
        "load": "open-loop" if results.open_loop else "closed-loop",
        "interrupted": results.interrupted,
        "settings": results.settings,
        "summary": summary(results),
        "latency": latency(results),
        "connections": {
            "asked": results.counts["asked"],
            "opened": results.counts["opened"],
            "failed": results.failed,
            "reconnected": results.counts["reconnected"],
            "seconds": results.connect_seconds,
            "per_second": results.connects_per_second,
            "handshake": figures(results.handshake),
        },
        "errors": {
            "server": dict(results.server_errors),
            "generator": dict(results.generator_errors),
        },
        "generator": generator(results),
        "target": target(results),
        "delivery": delivery(results),
        "recv": receiving(results),
        "stages": stages(results),
        "intervals": merge_intervals(results.intervals),
        "verdict": {"name": verdict.name, "reasons": list(verdict.reasons)},
    }


def summary(results: Results) -> dict[str, Any]:
    """How much went through."""
    return {
        "window_seconds": results.window_seconds,
        "asked_rate": results.asked_rate,
        "achieved_rate": results.achieved_rate,
        "messages_per_second": results.messages_per_second,
        "payload_bytes_per_second": results.bytes_per_second,
        **{name: results.counts[name] for name in SUMMED},
    }


def latency(results: Results) -> dict[str, Any]:
    """Round trips by the time that they count from."""
    names = ("intended", "actual", "warmup") if results.open_loop else ("actual", "warmup")
    found = {name: figures(results.histogram(name)) for name in names}
    for name in names[:-1]:
        found[name]["censored"] = results.counts["censored"]
        found[name]["lower_bound_from"] = results.censored_ns
    return found


def delivery(results: Results) -> dict[str, Any] | None:
    """How far the messages of a fanout came, or None."""
    if results.settings["mode"] != "fanout":
        return None
    return {
        "subscribers": results.subscribers,
        "expected": results.expected,
        "reach": results.counts["received"],
        "last_subscriber": figures(results.last_subscriber),
    }


def receiving(results: Results) -> dict[str, Any] | None:
    """How evenly messages came, or None."""
    if results.settings["mode"] not in ("fanout", "recv"):
        return None
    return {
        "interarrival": figures(results.histogram("interarrival")),
        "gaps": results.counts["gaps"],
    }


def stages(results: Results) -> list[dict[str, Any]]:
    """The stages of the schedule; a message belongs to that in which it was due."""
    if not results.stages:
        return []
    plans = planned(results.settings["rate"], results.settings["stages"])
    return [
        {
            "stage": number,
            "seconds": plan.seconds,
            "from_rate": plan.from_rate,
            "to_rate": plan.to_rate,
            "asked_rate": plan.messages / plan.seconds,
            "sent": stage.sent,
            "sent_rate": stage.sent / plan.seconds,
            "received": stage.received,
            "received_rate": stage.received / plan.seconds,
            "censored": stage.censored,
            "cpu_percents": stage.cpu_percents,
            **{name: figures(stage.histograms[name]) for name in NAMES},
        }
        for number, (plan, stage) in enumerate(zip(plans, results.stages, strict=True), 1)
    ]


def generator(results: Results) -> dict[str, Any]:
    """How the instrument fared."""
    reads = results.counts["reads"]
    return {
        "bound": results.generator_bound,
        "lag": figures(results.histogram("lag")) if results.open_loop else None,
        "messages_per_read": results.counts["received"] / reads if reads else 0.0,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "workers": [dataclasses.asdict(worker) for worker in results.workers],
    }


def target(results: Results) -> dict[str, Any] | None:
    """The process given with --target-pid, or None."""
    if results.target_pid is None:
        return None
    after = results.target_after
    return {
        "pid": results.target_pid,
        "cpu_seconds": results.target_cpu_seconds,
        "cpu_percent": results.target_cpu_percent,
        "messages_per_cpu_second": results.messages_per_target_cpu_second,
        "processes": results.target_processes,
        "rss_bytes": None if after is None else after.rss_bytes,
        "rss_per_connection": results.target_bytes_per_connection,
        "descriptors": None if after is None else after.descriptors,
    }


def figures(histogram: Histogram) -> dict[str, Any]:
    """A histogram: its figures in ns, and all its counts as an HDR text."""
    values = histogram.percentiles([percentage for _, percentage in PERCENTILES])
    return {
        "count": histogram.total,
        "mean": histogram.mean,
        "stdev": histogram.stdev,
        **dict(zip((name for name, _ in PERCENTILES), values, strict=True)),
        **to_dict(histogram),
    }
