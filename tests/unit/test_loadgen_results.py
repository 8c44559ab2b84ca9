"""wsfast.loadgen.results: merging is exact, and what is derived from it."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("hdrh")
pytest.importorskip("numpy")
module = pytest.importorskip("wsfast.loadgen.results")

from wsfast.loadgen.hdrblob import to_dict  # noqa: E402
from wsfast.loadgen.histogram import Histogram  # noqa: E402

SETTINGS = {"url": "ws://127.0.0.1:9/", "rate": None, "stages": ()}


def histogram_of(values):
    histogram = Histogram()
    histogram.record_all(values)
    return histogram


def part(latencies, *, cpu_percent=40.0, lost=0, window=2.0, censored_ns=None, worst=(), **counts):
    """What a worker reports that had so many round trips."""
    received = len(latencies)
    fields = dict.fromkeys(module.COUNTERS, 0)
    fields |= {"asked": 5, "opened": 5, "received": received, "measured": received}
    fields |= {"sent": received + lost, "lost": lost, **counts}
    return {
        **fields,
        "window_seconds": window,
        "connect_seconds": 0.5,
        "histograms": {
            "actual": to_dict(histogram_of(latencies)),
            "handshake": to_dict(histogram_of([1000] * 5)),
        },
        "censored_ns": censored_ns,
        "intervals": [{"second": 0}],
        "worst": list(worst),
        "stages": [],
        "errors": {"server": {"lost": lost} if lost else {}, "generator": {}},
        "worker": {
            "pid": 7,
            "cpu": None,
            "cpu_percent": cpu_percent,
            "max_rss_bytes": 1 << 25,
            "connections": 5,
        },
    }


def results_of(*parts, **fields):
    results = module.Results(settings=SETTINGS, **fields)
    for each in parts:
        results.add(json.loads(json.dumps(each)))
    return results


def test_workers_add_up_exactly():
    first, second = [100, 2_000, 50_000], [7, 90_000_000]
    results = results_of(part(first), part(second, lost=2, window=1.5))
    assert results.latency == histogram_of(first + second)
    assert results.counts["sent"] == 7
    assert results.counts["received"] == 5
    assert results.counts["asked"] == 10
    assert results.server_errors == {"lost": 2}
    assert results.window_seconds == 2.0
    assert len(results.workers) == len(results.intervals) == 2
    assert results.handshake == histogram_of([1000] * 10)
    assert results.histogram("lag") == Histogram()


def test_rates():
    measured = part([1000] * 50, measured_bytes=5000, window_sent=60)
    results = results_of(measured, target_pid=3, target_cpu_seconds=0.5)
    assert results.messages_per_second == 25.0
    assert results.bytes_per_second == 2500.0
    assert results.messages_per_target_cpu_second == 100.0
    assert results.target_cpu_percent == 25.0
    assert results.achieved_rate == 30.0
    assert results.asked_rate is None


def test_nothing_measured():
    results = results_of(part([], opened=0, window=0.0), target_pid=3)
    assert results.failed == 5
    assert results.messages_per_second == 0.0
    assert results.messages_per_target_cpu_second is None
    assert results.target_cpu_percent is None
    assert results.achieved_rate == 0.0


def test_a_lower_bound_is_the_lowest_of_all_workers():
    parts = [part([1]), part([1], censored_ns=700), part([1], censored_ns=500)]
    assert results_of(*parts).censored_ns == 500
    assert results_of(parts[0]).censored_ns is None


@pytest.mark.parametrize(
    ("rate", "stages", "asked"),
    [
        (100.0, (), 100.0),
        (0.0, [(2.0, 100.0)], 50.0),
        (100.0, [(1.0, 300.0), (3.0, 300.0)], 275.0),
    ],
)
def test_the_rate_that_was_asked_for(rate, stages, asked):
    results = module.Results(settings={"rate": rate, "stages": stages})
    assert results.open_loop
    assert results.asked_rate == asked


def test_the_slowest_delivery_of_each_message_over_all_workers():
    results = results_of(part([1], worst=[5, 0, 7]), part([1], worst=[3, 2]))
    assert results.worst == [5, 2, 7]
    assert results.last_subscriber == histogram_of([5, 2, 7])


def test_what_a_fanout_owes():
    results = module.Results(settings={"rate": 1.0, "lanes": 2, "topics": 3})
    results.counts.update(sent=30, opened=12)
    assert results.subscribers == 10
    assert results.expected == 100


def test_the_latency_of_an_open_loop_is_the_intended_one():
    results = module.Results(settings={"rate": 1.0, "stages": ()})
    results.histograms = {"actual": histogram_of([1]), "intended": histogram_of([2])}
    assert results.latency == histogram_of([2])


@pytest.mark.parametrize(("percent", "bound"), [(89.9, False), (90.0, True), (100.0, True)])
def test_a_busy_worker_is_the_bottleneck(percent, bound):
    results = results_of(part([1]), part([1], cpu_percent=percent))
    assert results.generator_bound is bound


def test_a_part_without_a_field():
    broken = part([1])
    del broken["mismatch"]
    with pytest.raises(KeyError, match="mismatch"):
        results_of(broken)


def test_stages_of_all_workers_add_up():
    def row(sent):
        blobs = {name: to_dict(histogram_of([sent])) for name in ("intended", "actual", "lag")}
        counts = {"sent": sent, "received": sent, "censored": 0}
        return {**counts, "histograms": blobs, "cpu_percent": float(sent)}

    results = module.Results(settings=SETTINGS)
    for sent in (3, 4):
        results.add({**part([5]), "stages": [row(sent), row(10 * sent)]})
    first, second = results.stages
    assert (first.sent, second.sent) == (7, 70)
    assert first.histograms["actual"].total == 2
    assert second.cpu_percents == [30.0, 40.0]
