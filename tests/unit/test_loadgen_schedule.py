"""wsfast.loadgen.schedule against the integral that it inverts, and against its own statistics."""

from __future__ import annotations

import itertools
import math
import statistics
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)

from wsfast.loadgen.schedule import Schedule

SECOND = 1_000_000_000
NEVER = 2**64 - 1
ALL = 1_000_000


def times(stages, *, start=0, count=ALL, **options):
    schedule = Schedule(stages, **options)
    schedule.begin(start)
    return schedule.take(count)


def test_a_steady_rate():
    found = times([(1.0, 1000)])
    assert found == pytest.approx([k * 1_000_000 for k in range(1000)], abs=1)


def test_it_starts_when_it_is_told():
    assert times([(1.0, 10)], start=5 * SECOND, count=2) == [5 * SECOND, 51 * SECOND // 10]


def test_nothing_is_due_before_the_begin_and_after_the_end():
    schedule = Schedule([(1.0, 3)])
    assert schedule.next_ns == NEVER
    schedule.begin(0)
    assert schedule.next_ns == 0
    assert len(schedule.take(ALL)) == 3
    assert schedule.next_ns == NEVER
    assert schedule.take(1) == []


def test_an_endless_rate():
    found = times([(math.inf, 500)], count=100_000)
    assert len(found) == 100_000
    assert found[-1] == pytest.approx(99_999 / 500 * SECOND, rel=1e-9)


def integral(stages, rate, seconds):
    """Messages that are due within so many seconds, added up in small steps."""
    total, before, passed = 0.0, rate, 0.0
    for length, goal in stages:
        inside = min(length, max(0.0, seconds - passed))
        slope = (goal - before) / length
        total += before * inside + slope * inside**2 / 2
        passed, before = passed + length, goal
    return total


@pytest.mark.parametrize(
    ("rate", "stages"),
    [
        (0.0, [(2.0, 1000.0)]),
        (1000.0, [(2.0, 0.0)]),
        (100.0, [(1.0, 100.0), (0.5, 900.0), (1.0, 50.0)]),
        (0.0, [(1.0, 0.0), (1.0, 400.0)]),
        (50.0, [(1.0, 0.0), (2.0, 0.0), (1.0, 80.0)]),
    ],
)
def test_ramps_follow_the_integral(rate, stages):
    """The message of number k is due when k messages were due before it."""
    found = times(stages, rate=rate)
    expected = integral(stages, rate, math.inf)
    assert len(found) == pytest.approx(expected, abs=1)
    for number, when in enumerate(found):
        assert integral(stages, rate, when / SECOND) == pytest.approx(number, abs=1e-3)
    assert found == sorted(found)


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_the_phases_of_workers_interleave(workers):
    """The schedules of all workers together are the schedule of one."""
    rate, parts = 700.0, []
    for worker in range(workers):
        parts += times([(1.0, rate / workers)], phase=worker / workers)
    whole = times([(1.0, rate)])
    assert abs(len(parts) - len(whole)) <= 1, "the end may fall between two roundings"
    assert sorted(parts)[:699] == pytest.approx(whole[:699], abs=2)


def test_poisson_gaps_are_exponential():
    found = times([(200.0, 1000)], arrivals="poisson", seed=42)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert len(found) == pytest.approx(200_000, rel=0.02)
    assert statistics.mean(gaps) == pytest.approx(1_000_000, rel=0.02)
    assert statistics.stdev(gaps) == pytest.approx(1_000_000, rel=0.02)
    share = sum(gap > 2_000_000 for gap in gaps) / len(gaps)
    assert share == pytest.approx(math.exp(-2), rel=0.05)
    lag = statistics.correlation(gaps[:-1], gaps[1:])
    assert abs(lag) < 0.02, "neighbouring gaps know of each other"


def test_poisson_arrivals_ramp_too():
    found = times([(100.0, 2000)], rate=0.0, arrivals="poisson", seed=7)
    first_half = sum(when < 50 * SECOND for when in found)
    assert first_half / len(found) == pytest.approx(0.25, abs=0.01)


def test_a_seed_repeats_itself():
    options = {"arrivals": "poisson", "count": 1000}
    first = times([(10.0, 1000)], seed=1, **options)
    assert first == times([(10.0, 1000)], seed=1, **options)
    assert first != times([(10.0, 1000)], seed=2, **options)


@pytest.mark.parametrize(
    ("stages", "options", "said"),
    [
        ([(0.0, 5)], {}, "takes time"),
        ([(-1.0, 5)], {}, "takes time"),
        ([(1.0, -5)], {}, "0 or more"),
        ([(1.0, 5)], {"rate": -1.0}, "0 or more"),
        ([(math.inf, 5), (1.0, 5)], {}, "endless"),
        ([(math.inf, 5)], {"rate": 1.0}, "endless"),
        ([(math.inf, 0)], {}, "endless"),
        ([(1.0, 5)], {"phase": 1.0}, "phase of 1.0"),
        ([(1.0, 5)], {"phase": -0.1}, "phase of -0.1"),
        ([(1.0, 5)], {"arrivals": "uniform"}, "'uniform'"),
    ],
)
def test_what_no_schedule_can_follow(stages, options, said):
    with pytest.raises(ValueError, match=said):
        Schedule(stages, **options)
