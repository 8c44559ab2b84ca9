"""Conditions under which a run has failed: `--fail-if 'p99>20ms'`, and a baseline to hold.

A name is a percentile or figure of the latency (intended in an open loop, else actual), a counter,
or the path of any number in the JSON: `summary.received`, `generator.lag.p99`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from wsfast.loadgen.units import parse_count, parse_duration

__all__ = ["Outcome", "Threshold", "evaluate", "parse_threshold", "regressions", "value_of"]

CONDITION = re.compile(r"\s*([a-z][\w.-]*)\s*(>=|<=|>|<)\s*(.+?)\s*")
OPERATORS = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}

#: Figures of a histogram, in ns.
FIGURES = {"min", "mean", "stdev", "max", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99"}

#: Short names of numbers in the JSON.
PATHS = {
    "throughput": "summary.messages_per_second",
    "rate": "summary.achieved_rate",
    "failed": "connections.failed",
    "reach": "delivery.reach",
    **{
        name: f"summary.{name}"
        for name in ("sent", "received", "lost", "duplicate", "reordered", "unexpected")
    },
    **{name: f"summary.{name}" for name in ("mismatch", "unanswered", "censored", "backlog")},
}

#: What a percentage is of.
WHOLES = {"failed": "connections.asked", "reach": "delivery.expected"}


class Threshold(NamedTuple):
    """One condition.

    Attributes:
        text: as the user wrote it.
        name: of the figure.
        relation: ">", "<", ">=" or "<=".
        limit: of the figure: ns, a count, or a percentage.
        percent: the figure is a share of messages (of connections for `failed`).
    """

    text: str
    name: str
    relation: str
    limit: float
    percent: bool


class Outcome(NamedTuple):
    """What a condition came to.

    Attributes:
        condition: as it was written.
        value: of its figure.
        failed: whether it holds, which is a failure.
    """

    condition: str
    value: float
    failed: bool


def parse_threshold(text: str) -> Threshold:
    """Read a condition: NAME, one of > < >= <=, and a duration, a count or a percentage.

    Raises:
        ValueError: it is no such condition, or its limit is no amount of its figure.
    """
    found = CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition like p99>20ms or errors>0.1%")
    name, relation, limit = found.groups()
    if limit.endswith("%"):
        return Threshold(text, name, relation, float(limit[:-1]), True)
    if is_duration(name):
        if limit[-1].isdigit():
            raise ValueError(f"{text!r}: a latency has a unit, as in {limit}ms")
        return Threshold(text, name, relation, parse_duration(limit) * 1e9, False)
    return Threshold(text, name, relation, float(parse_count(limit)), False)


def is_duration(name: str) -> bool:
    """Whether the figure of this name is a time in ns."""
    return any(name == figure or name.endswith(f".{figure}") for figure in FIGURES)


def value_of(name: str, document: Mapping[str, Any]) -> float:
    """A figure of a run.

    Raises:
        ValueError: the run has no such number.
    """
    if name == "errors":
        return float(sum(sum(side.values()) for side in document["errors"].values()))
    value: Any = document
    path = PATHS.get(name, name)
    if name in FIGURES:
        value = document["latency"].get("intended") or document["latency"]["actual"]
    while path:
        key, path = longest_key(value, path)
        if key is None:
            raise ValueError(f"the run has no figure {name!r}")
        value = value[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name!r} is no number in this run, but {value!r}")
    return float(value)


def longest_key(value: Any, path: str) -> tuple[str | None, str]:
    """The key that a path begins with, and its rest; keys may hold dots, as p99.9 does."""
    if isinstance(value, Mapping):
        if path in value:
            return path, ""
        for key in value:
            if path.startswith(f"{key}."):
                return key, path[len(key) + 1 :]
        roots = [each for each in ("latency", "connections", "generator") if each in value]
        for root in roots:
            first = path.partition(".")[0]
            if isinstance(value[root], Mapping) and first in value[root]:
                return root, path
    return None, path


def evaluate(threshold: Threshold, document: Mapping[str, Any]) -> Outcome:
    """Whether a condition holds.

    Raises:
        ValueError: the run has no such number.
    """
    value = value_of(threshold.name, document)
    if threshold.percent:
        whole = value_of(WHOLES.get(threshold.name, "summary.sent"), document)
        value = 100.0 * value / whole if whole else 0.0
    failed = OPERATORS[threshold.relation](value, threshold.limit)
    return Outcome(threshold.text, value, bool(failed))


def regressions(
    document: Mapping[str, Any], baseline: Mapping[str, Any], most_percent: float
) -> list[Outcome]:
    """Where a run is worse than another one by more than so many percent.

    Throughput may not fall, and p50 and p99 may not rise, by more.

    Raises:
        ValueError: one of them has no such number.
    """
    outcomes = []
    for name, worse_is_more in (("throughput", False), ("p50", True), ("p99", True)):
        before, now = value_of(name, baseline), value_of(name, document)
        change = 100.0 * (now - before) / before if before else 0.0
        failed = change > most_percent if worse_is_more else -change > most_percent
        text = f"{name} against the baseline, {change:+.1f} % (at most {most_percent:g} %)"
        outcomes.append(Outcome(text, now, failed))
    return outcomes
