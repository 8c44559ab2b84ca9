"""Interleaved measuring: only ratios of runs that took turns on the same machine mean anything.

A *sampler* runs its work n times and returns the seconds that this took. `interleave` gives each
sampler one turn per round, in an order that rotates, so that a change of the machine's speed
falls on all of them alike; `ratio` then divides round by round. Many short turns, a few hundred
microseconds each, beat few long ones: whatever else runs on the machine then spoils some rounds,
and the median does not see it, instead of a little of every round.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from timeit import Timer
from typing import Any, NamedTuple

__all__ = ["Row", "Sampler", "interleave", "ratio", "row", "table", "timed"]

Sampler = Callable[[int], float]


class Row(NamedTuple):
    """One line of a table.

    Attributes:
        name: what was compared.
        ratio: median over the rounds.
        spread: distance between the quartiles, in the unit of the ratio.
        target: ">= 0.95", "<= 1.3"; empty if the line is for information.
    """

    name: str
    ratio: float
    spread: float
    target: str

    @property
    def holds(self) -> bool:
        """Whether the ratio meets the target."""
        if not self.target:
            return True
        relation, limit = self.target.split()
        return self.ratio >= float(limit) if relation == ">=" else self.ratio <= float(limit)


def timed(function: Callable[..., Any], *args: Any) -> Sampler:
    """A sampler that calls function(*args) n times, without a lambda in between."""
    names = [f"a{i}" for i in range(len(args))]
    namespace = dict(zip(names, args, strict=True), f=function)
    timer = Timer(f"f({', '.join(names)})", globals=namespace)
    return timer.timeit


def _repeats(sampler: Sampler, seconds: float) -> int:
    """How often to repeat so that a sample takes at least that long."""
    n = 1
    while True:
        taken = sampler(n)
        if taken >= seconds / 4:
            return max(1, int(n * seconds / taken))
        n *= 4


def interleave(
    samplers: Mapping[str, Sampler], *, rounds: int = 401, seconds: float = 0.3
) -> dict[str, list[float]]:
    """Run the samplers in turns.

    Args:
        samplers: name of each, and what it runs; see timed().
        rounds: how many turns each one gets.
        seconds: how long all of it may take, about.

    Returns:
        Per sampler its seconds per repetition, one figure per round.
    """
    share = seconds / (rounds * len(samplers))
    repeats = {name: _repeats(sampler, share) for name, sampler in samplers.items()}
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    order = list(samplers)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            order.append(order.pop(0))
            for name in order:
                samples[name].append(samplers[name](repeats[name]) / repeats[name])
    finally:
        if collecting:
            gc.enable()
    return samples


def ratio(numerators: Iterable[float], denominators: Iterable[float]) -> tuple[float, float]:
    """Median and spread (distance of the quartiles) of the ratios, round by round."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return median, high - low


def row(name: str, samples: Mapping[str, list[float]], over: str, under: str, target: str) -> Row:
    """The line for samples[over] / samples[under]; for "times as fast" over is the slower one."""
    return Row(name, *ratio(samples[over], samples[under]), target)


def table(title: str, rows: Iterable[Row]) -> bool:
    """Print the lines as they come, and say whether all of them hold."""
    print(f"{title}, {time.strftime('%Y-%m-%d')}")
    print(f"{'':56} {'ratio':>8} {'spread':>8}  target")
    missed = 0
    for line in rows:
        verdict = "" if line.holds else "  MISSED"
        missed += not line.holds
        print(f"{line.name:56} {line.ratio:8.2f} {line.spread:8.2f}  {line.target}{verdict}")
    return not missed
