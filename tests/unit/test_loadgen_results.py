"""wsfast.loadgen.results: merging is exact, and the JSON keeps its keys."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("hdrh")
pytest.importorskip("numpy")
module = pytest.importorskip("wsfast.loadgen.results")

from wsfast.loadgen.hdrblob import from_dict, to_dict  # noqa: E402
from wsfast.loadgen.histogram import Histogram  # noqa: E402

SETTINGS = {"url": "ws://127.0.0.1:9/", "size": 100, "text": False, "in_flight": 1}


def histogram_of(values):
    histogram = Histogram()
    histogram.record_all(values)
    return histogram


def part(latencies, *, cpu_percent=40.0, lost=0, window=2.0, **counts):
    """What a worker reports that had so many round trips."""
    received = len(latencies)
    fields = dict.fromkeys(module.COUNTERS, 0)
    fields |= {"asked": 5, "opened": 5, "received": received, "measured": received}
    fields |= {"sent": received + lost, "lost": lost, **counts}
    return {
        **fields,
        "window_seconds": window,
        "connect_seconds": 0.5,
        "latency": to_dict(histogram_of(latencies)),
        "handshake": to_dict(histogram_of([1000] * 5)),
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
    assert len(results.workers) == 2


def test_rates():
    results = results_of(part([1000] * 50), target_pid=3, target_cpu_seconds=0.5)
    assert results.messages_per_second == 25.0
    assert results.bytes_per_second == 2500.0
    assert results.messages_per_target_cpu_second == 100.0
    assert results.target()["cpu_percent"] == 25.0


def test_nothing_measured():
    results = results_of(part([], opened=0, window=0.0), target_pid=3)
    assert results.failed == 5
    assert results.messages_per_second == 0.0
    assert results.messages_per_target_cpu_second is None
    assert results.target()["cpu_seconds"] is None
    assert results.to_dict()["latency"]["actual"]["p99"] == 0


@pytest.mark.parametrize(("percent", "bound"), [(89.9, False), (90.0, True), (100.0, True)])
def test_a_busy_worker_is_the_bottleneck(percent, bound):
    results = results_of(part([1]), part([1], cpu_percent=percent))
    assert results.generator_bound is bound
    assert results.to_dict()["generator"]["bound"] is bound


def test_the_json_form():
    results = results_of(part([1000, 2000, 3000], lost=1))
    fields = json.loads(json.dumps(results.to_dict()))
    assert fields["schema"] == module.SCHEMA
    assert fields["load"] == "closed-loop"
    assert fields["settings"] == SETTINGS
    summary = fields["summary"]
    assert summary["sent"] == summary["received"] + summary["lost"] + summary["unanswered"] == 4
    latency = fields["latency"]["actual"]
    assert latency["count"] == 3
    assert latency["mean"] == 2000.0
    assert latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"] == 3000
    assert from_dict(latency) == results.latency
    assert from_dict(fields["connections"]["handshake"]) == results.handshake
    assert fields["errors"] == {"server": {"lost": 1}, "generator": {}}
    assert fields["generator"]["workers"][0]["connections"] == 5
    assert fields["target"] is None


def test_a_part_without_a_field():
    broken = part([1])
    del broken["mismatch"]
    with pytest.raises(KeyError, match="mismatch"):
        results_of(broken)
