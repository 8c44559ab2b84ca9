"""wsfast.loadgen.document: the JSON keeps its keys, and its figures are those of the results."""

from __future__ import annotations

import collections
import json

import pytest

pytest.importorskip("hdrh")
pytest.importorskip("numpy")
module = pytest.importorskip("wsfast.loadgen.document")

from wsfast.loadgen.hdrblob import from_dict  # noqa: E402
from wsfast.loadgen.histogram import Histogram  # noqa: E402
from wsfast.loadgen.results import Results, Worker  # noqa: E402
from wsfast.loadgen.stages import Stage  # noqa: E402
from wsfast.loadgen.target import Sample  # noqa: E402


def results_of(*, rate=None, **fields):
    counts = {"asked": 5, "opened": 4, "sent": 4, "received": 3, "measured": 3, "lost": 1}
    results = Results(
        settings={"rate": rate, "stages": (), "mode": "echo", "url": "ws://h/"},
        counts=collections.Counter({**counts, "reads": 2, **fields.pop("counts", {})}),
        window_seconds=2.0,
        server_errors=collections.Counter(lost=1),
        workers=[Worker(pid=1, cpu=0, cpu_percent=4.0, max_rss_bytes=5, connections=4)],
        **fields,
    )
    for name, values in {
        "actual": [1000, 2000, 3000],
        "intended": [1500, 2500, 3500],
        "handshake": [7] * 4,
        "lag": [500] * 3,
    }.items():
        results.histograms[name] = Histogram()
        results.histograms[name].record_all(values)
    return results


def document(results):
    """As whoever reads the file finds it."""
    return json.loads(json.dumps(module.document_of(results)))


def test_a_closed_loop():
    results = results_of()
    found = document(results)
    assert found["schema"] == module.SCHEMA == 2
    assert (found["load"], found["mode"]) == ("closed-loop", "echo")
    assert found["settings"]["url"] == "ws://h/"
    summary = found["summary"]
    assert summary["sent"] == summary["received"] + summary["lost"] + summary["unanswered"] == 4
    assert summary["asked_rate"] is None
    latency = found["latency"]["actual"]
    assert latency["count"] == 3
    assert latency["mean"] == 2000.0
    assert latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"] == 3000
    assert from_dict(latency) == results.latency
    assert "intended" not in found["latency"]
    assert from_dict(found["connections"]["handshake"]) == results.handshake
    assert found["connections"]["failed"] == 1
    assert found["errors"] == {"server": {"lost": 1}, "generator": {}}
    assert found["generator"]["workers"][0]["connections"] == 4
    assert found["generator"]["messages_per_read"] == 1.5
    assert found["generator"]["lag"] is None
    assert found["target"] is None
    assert found["verdict"] == {"name": "VALID", "reasons": []}


def test_an_open_loop():
    results = results_of(
        rate=2.0, counts={"censored": 1, "window_sent": 4}, censored_ns=3000, target_pid=9
    )
    found = document(results)
    assert found["load"] == "open-loop"
    assert found["summary"]["asked_rate"] == found["summary"]["achieved_rate"] == 2.0
    intended = found["latency"]["intended"]
    assert intended["p99"] == 3500
    assert (intended["censored"], intended["lower_bound_from"]) == (1, 3000)
    assert found["latency"]["actual"]["p99"] == 3000
    assert found["latency"]["warmup"]["count"] == 0
    assert found["generator"]["lag"]["p99"] == 500
    assert found["target"] == {
        "pid": 9,
        "cpu_seconds": None,
        "cpu_percent": None,
        "messages_per_cpu_second": None,
        "processes": 1,
        "rss_bytes": None,
        "rss_per_connection": None,
        "descriptors": None,
    }


def test_the_health_of_the_target():
    found = document(
        results_of(
            target_pid=9,
            target_cpu_seconds=1.0,
            target_after=Sample(7.0, 3, 1 << 20, 40),
            target_grown_bytes=4096,
        )
    )["target"]
    assert (found["cpu_percent"], found["messages_per_cpu_second"]) == (50.0, 3.0)
    assert (found["processes"], found["rss_bytes"], found["descriptors"]) == (3, 1 << 20, 40)
    assert found["rss_per_connection"] == 1024.0


def test_the_verdict_and_its_reasons():
    found = document(results_of(rate=1000.0))
    assert found["verdict"]["name"] == "SERVER-BOUND"
    assert len(found["verdict"]["reasons"]) == 1


def test_an_empty_histogram_has_all_its_figures():
    figures = module.figures(Histogram())
    assert figures["count"] == figures["p50"] == figures["p99.99"] == figures["max"] == 0


def test_a_fanout():
    results = results_of(rate=10.0, counts={"received": 12}, worst=[5000, 0, 7000])
    results.settings.update(mode="fanout", lanes=1, topics=1)
    results.histograms["interarrival"] = Histogram()
    results.histograms["interarrival"].record_all([9000] * 4)
    found = document(results)
    delivery = found["delivery"]
    assert (delivery["subscribers"], delivery["expected"], delivery["reach"]) == (3, 12, 12)
    assert delivery["last_subscriber"]["count"] == 2
    assert found["recv"]["interarrival"]["p50"] == 9000


def test_an_echo_has_no_deliveries():
    found = document(results_of())
    assert found["delivery"] is None
    assert found["recv"] is None


def test_the_stages_of_a_schedule():
    """A ramp to 100/s in 2 s, then 100/s for 1 s."""
    results = results_of(rate=0.0)
    results.settings["stages"] = ((2.0, 100.0), (1.0, 100.0))
    results.stages = [
        Stage(sent=100, received=90, censored=10, cpu_percents=[20.0, 30.0]),
        Stage(sent=99, received=99),
    ]
    results.stages[0].histograms["intended"].record_all([5000, 7000])
    first, second = document(results)["stages"]
    assert (first["stage"], first["seconds"]) == (1, 2.0)
    assert (first["from_rate"], first["to_rate"], first["asked_rate"]) == (0.0, 100.0, 50.0)
    assert (first["sent"], first["sent_rate"]) == (100, 50.0)
    assert (first["received"], first["received_rate"], first["censored"]) == (90, 45.0, 10)
    assert first["cpu_percents"] == [20.0, 30.0]
    assert (first["intended"]["count"], first["intended"]["max"]) == (2, 7000)
    assert (second["asked_rate"], second["sent_rate"], second["cpu_percents"]) == (100.0, 99.0, [])


def test_without_stages():
    assert document(results_of(rate=5.0))["stages"] == document(results_of())["stages"] == []


def test_messages_that_are_no_replies():
    assert document(results_of(counts={"foreign": 7}))["summary"]["foreign"] == 7
