"""wsfast.loadgen.verdict: who was the bottleneck, from figures on both sides of each limit."""

from __future__ import annotations

import collections

import pytest

pytest.importorskip("numpy")
pytest.importorskip("hdrh")

from wsfast.loadgen.histogram import Histogram
from wsfast.loadgen.results import Results, Worker
from wsfast.loadgen.target import Sample
from wsfast.loadgen.verdict import GENERATOR_BOUND, SERVER_BOUND, VALID, judge


def results_of(*, rate=1000.0, answered=1000, lag_us=10.0, latency_us=500.0, cpu=50.0, **fields):
    counts = fields.pop("counts", {})
    results = Results(
        settings={"rate": rate, "stages": (), "mode": "echo"},
        counts=collections.Counter({"measured": answered, **counts}),
        window_seconds=1.0,
        workers=[Worker(pid=7, cpu=None, cpu_percent=cpu, max_rss_bytes=0, connections=1)],
        **fields,
    )
    for name, value in (("intended", latency_us), ("actual", latency_us), ("lag", lag_us)):
        results.histograms[name] = Histogram()
        results.histograms[name].record_all([int(value * 1000)] * 100)
    return results


def test_a_good_run():
    assert judge(results_of()) == (VALID, ())
    assert judge(results_of(rate=None, answered=5)) == (VALID, ())


@pytest.mark.parametrize(("cpu", "name"), [(89.9, VALID), (90.1, GENERATOR_BOUND)])
def test_a_worker_without_time_to_spare(cpu, name):
    for rate in (1000.0, None):
        verdict = judge(results_of(cpu=cpu, rate=rate))
        assert verdict.name == name
    if name != VALID:
        assert "worker 7 used 90 % of its core (limit 90 %)" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("lag_us", "latency_us", "name"),
    [
        (990, 500, VALID),
        (1010, 500, GENERATOR_BOUND),
        (4900, 50_000, VALID),
        (5100, 50_000, GENERATOR_BOUND),
    ],
)
def test_a_schedule_that_is_not_kept(lag_us, latency_us, name):
    assert judge(results_of(lag_us=lag_us, latency_us=latency_us)).name == name
    assert judge(results_of(lag_us=lag_us, latency_us=latency_us, rate=None)).name == VALID


def test_messages_that_could_not_be_sent():
    verdict = judge(results_of(counts={"backlog": 3}))
    assert verdict.name == GENERATOR_BOUND
    assert verdict.reasons == ("3 messages could not be sent when due",)


@pytest.mark.parametrize(("answered", "name"), [(991, VALID), (989, SERVER_BOUND)])
def test_a_rate_that_the_server_does_not_reach(answered, name):
    verdict = judge(results_of(answered=answered))
    assert verdict.name == name
    if name != VALID:
        assert verdict.reasons[0].startswith("989 answers/s of 1,000 messages/s asked for")


def test_the_generator_is_looked_at_first():
    assert judge(results_of(answered=10, cpu=100.0)).name == GENERATOR_BOUND


@pytest.mark.parametrize(
    ("seconds", "processes", "name"),
    [(0.89, 1, VALID), (0.91, 1, SERVER_BOUND), (1.7, 2, VALID), (1.9, 2, SERVER_BOUND)],
)
def test_a_target_without_time_to_spare(seconds, processes, name):
    results = results_of(
        rate=None,
        target_pid=1,
        target_cpu_seconds=seconds,
        target_after=Sample(9.0, processes, 1 << 20, None),
    )
    assert judge(results).name == name


@pytest.mark.parametrize(("came", "name"), [(991, VALID), (989, SERVER_BOUND)])
def test_deliveries_that_do_not_come(came, name):
    results = results_of(counts={"sent": 100, "opened": 11, "received": came})
    results.settings.update(mode="fanout", lanes=1, topics=1)
    verdict = judge(results)
    assert verdict.name == name
    if name != VALID:
        assert verdict.reasons == ("989 of 1,000 deliveries came",)
