"""wsfast.loadgen.report: what people read, on a terminal and elsewhere."""

from __future__ import annotations

import collections
import io

import pytest

pytest.importorskip("numpy")
pytest.importorskip("rich")
report = pytest.importorskip("wsfast.loadgen.report")

from wsfast.loadgen.histogram import Histogram  # noqa: E402
from wsfast.loadgen.results import Results, Worker  # noqa: E402
from wsfast.loadgen.stages import Stage  # noqa: E402
from wsfast.loadgen.target import Sample  # noqa: E402


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def worker(cpu_percent=50.0):
    return Worker(pid=1, cpu=None, cpu_percent=cpu_percent, max_rss_bytes=0, connections=3)


SETTINGS = {
    "url": "ws://h/",
    "mode": "echo",
    "size": 20,
    "least_size": None,
    "mean_size": None,
    "text": True,
    "in_flight": 4,
    "think_seconds": 0.0,
    "rate": None,
    "stages": (),
    "arrivals": "constant",
    "verify": "full",
}


def results_of(
    *, asked=3, opened=3, sent=10, received=10, settings=None, more=(), histograms=None, **fields
):
    more = dict(more)
    counts = {"asked": asked, "opened": opened, "sent": sent, "received": received}
    results = Results(
        settings={**SETTINGS, **(settings or {})},
        counts=collections.Counter({**counts, "measured": received, **more}),
        window_seconds=2.0,
        connect_seconds=0.5,
        **{"workers": [worker()], **fields},
    )
    values = {"actual": [1_000_000] * received, "handshake": [250_000] * opened}
    for name, recorded in {**values, **(histograms or {})}.items():
        results.histograms[name] = Histogram()
        results.histograms[name].record_all(recorded)
    return results


def printed(results, stream=None):
    stream = stream or io.StringIO()
    report.print_results(results, stream)
    return stream.getvalue()


def line_of(text, name):
    """The value of one line of the plain report."""
    (line,) = [line for line in text.splitlines() if line.startswith(name + "  ")]
    return line[len(name) :].strip()


def test_plain_lines():
    text = printed(results_of())
    assert line_of(text, "load") == "closed loop, 4 in flight on each connection, 20 B text"
    assert line_of(text, "connections") == "3 of 3 opened, 6/s"
    assert line_of(text, "handshake") == "p50 250 us, p99 250 us, max 250 us"
    assert line_of(text, "messages/s") == "5"
    assert line_of(text, "answered") == "10 of 10 in 2.00 s"
    assert line_of(text, "latency p99.9") == "1.00 ms"
    assert line_of(text, "errors") == "none"
    assert line_of(text, "generator CPU") == "50 % of a core"
    assert "coordinated omission applies" in text
    assert "bottleneck" not in text
    assert "\x1b" not in text


def test_a_terminal_gets_the_same_values():
    text = printed(results_of(), Terminal())
    for value in ("3 of 3 opened", "1.00 ms", "coordinated omission"):
        assert value in text
    assert "─" in text


def test_errors_by_kind_and_side():
    results = results_of(
        opened=1,
        server_errors=collections.Counter(
            {"refused": 2, "handshake_403": 1, "closed_1001": 1, "violation_1002": 1, "exotic": 1}
        ),
        generator_errors=collections.Counter({"addresses_exhausted": 1}),
    )
    text = printed(results)
    assert "2 x connection refused" in text
    assert "1 x handshake refused with HTTP 403" in text
    assert "1 x closed with code 1001" in text
    assert "1 x the server broke the protocol (1002)" in text
    assert "1 x exotic" in text
    assert line_of(text, "generator's own").startswith("1 x no free source port")
    assert "1 of 3 opened, 2 failed" in text


def test_every_kind_has_words():
    worker_module = pytest.importorskip("wsfast.loadgen.worker")
    kinds = {*worker_module.ERRNO_KINDS.values(), *worker_module.GENERATOR_KINDS}
    assert kinds <= set(report.NAMES)


def test_nothing_sent():
    text = printed(results_of(opened=0, sent=0, received=0))
    assert "messages/s" not in text
    assert "latency" not in text


def test_why_nothing_was_measured():
    assert report.failure(results_of()) is None
    fields = {"opened": 0, "sent": 0, "received": 0}
    refused = results_of(
        **fields,
        server_errors=collections.Counter(refused=2),
        generator_errors=collections.Counter(addresses_exhausted=1),
    )
    assert report.failure(refused) == (
        f"no connection to {refused.settings['url']} could be opened: 2 x connection refused, "
        "1 x no free source port, or no address of this host (EADDRNOTAVAIL)"
    )
    closed = results_of(received=0, server_errors=collections.Counter(closed_1008=3))
    assert report.failure(closed).endswith("closed with code 1008")
    assert "no message was answered" in report.failure(results_of(received=0))


def test_notes():
    text = printed(results_of(workers=[worker(), worker(97.0)], interrupted=True))
    assert line_of(text, "generator CPU") == "50 %, 97 % of a core each"
    assert "The generator was the bottleneck" in text
    assert "Interrupted" in text


def test_the_target():
    text = printed(results_of(target_pid=42, target_cpu_seconds=0.5))
    assert line_of(text, "target CPU") == "25 % of a core (process 42)"
    assert line_of(text, "messages per target CPU-second") == "20"
    assert "target CPU" not in printed(results_of(target_pid=42))


@pytest.mark.parametrize(
    ("opened", "said"), [(10, "20 MiB"), (2000, "20 MiB, grew by 2 KiB a connection")]
)
def test_the_memory_of_the_target(opened, said):
    after = Sample(1.0, 1, 20 << 20, 50)
    results = results_of(
        asked=opened,
        opened=opened,
        target_pid=42,
        target_cpu_seconds=0.5,
        target_after=after,
        target_grown_bytes=2048 * opened,
    )
    assert line_of(printed(results), "target memory") == said


OPEN = {"rate": 1000.0, "arrivals": "poisson"}


def test_an_open_loop():
    text = printed(
        results_of(
            settings=OPEN,
            more={"window_sent": 1990, "measured": 1980},
            histograms={"intended": [3_000_000] * 10, "lag": [20_000] * 10},
        )
    )
    assert line_of(text, "load") == "open loop, 1,000 messages/s asked, Poisson, 20 B text"
    assert line_of(text, "messages/s") == "1,000 asked, 995 sent, 990 answered"
    assert line_of(text, "latency from").split("  ")[0] == "when it was due"
    assert line_of(text, "latency p99").split() == ["3.00", "ms", "1.00", "ms"]
    assert line_of(text, "schedule lag") == "p50 20.0 us, p99 20.0 us, max 20.0 us"
    assert line_of(text, "verdict") == "VALID"
    assert "coordinated omission" not in text


def test_a_verdict_says_why():
    text = printed(
        results_of(settings=OPEN, more={"measured": 100}, histograms={"intended": [1] * 10})
    )
    assert line_of(text, "verdict") == "SERVER-BOUND"
    assert line_of(text, "because").startswith("50 answers/s of 1,000 messages/s")


def test_lower_bounds_are_marked():
    text = printed(results_of(received=9, more={"censored": 1}, censored_ns=500_000))
    assert line_of(text, "latency p50") == ">= 1.00 ms"
    assert "1 messages were not answered in time" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"size": 2048, "least_size": 20}, "20 B to 2 KiB"),
        ({"size": 8192, "mean_size": 512.0}, "512 B on average"),
        ({"think_seconds": 0.5}, "4 in flight on each connection, 500 ms to think"),
    ],
)
def test_the_load_in_words(fields, said):
    assert said in line_of(printed(results_of(settings=fields)), "load")


def test_a_fanout():
    text = printed(
        results_of(
            settings={"mode": "fanout", "rate": 5.0, "lanes": 1, "topics": 1, "gap_seconds": 1.0},
            opened=3,
            sent=10,
            received=19,
            more={"window_sent": 10, "gaps": 2},
            histograms={"intended": [1000] * 19, "interarrival": [5000] * 18},
            worst=[1000, 3000],
        )
    )
    assert line_of(text, "messages/s") == "5 sent, 10 delivered"
    assert line_of(text, "reach") == "19 of 20 deliveries, 95.00 %"
    assert line_of(text, "last subscriber") == "p50 1.00 us, p99 3.00 us, max 3.00 us"
    assert line_of(text, "between messages").startswith("p50 5.00 us")
    assert line_of(text, "gaps") == "2 longer than 1 s"
    assert line_of(text, "verdict") == "SERVER-BOUND"


def test_what_is_only_received():
    text = printed(
        results_of(settings={"mode": "recv"}, sent=0, histograms={"interarrival": [10**8] * 9})
    )
    assert line_of(text, "load") == "passive: nothing is sent"
    assert line_of(text, "messages/s") == "5"
    assert line_of(text, "between messages") == "p50 100 ms, p99 100 ms, max 100 ms"
    assert "coordinated omission" not in text


def test_every_stage_has_its_rows():
    results = results_of(
        settings={"rate": 0.0, "stages": ((2.0, 100.0), (1.0, 100.0))},
        stages=[Stage(sent=100, received=90, cpu_percents=[20.0]), Stage(sent=100, received=100)],
    )
    results.stages[0].histograms["intended"].record_all([1_000_000] * 90)
    out = io.StringIO()
    report.print_results(results, out)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    place = next(n for n, line in enumerate(lines) if line.startswith("stage 1"))
    assert lines[place].endswith("2.00 s, 0 to 100 messages/s")
    assert lines[place + 1] == "50/s asked, 50 sent, 45 answered"
    assert lines[place + 2].startswith("from when it was due: p50 1.00 ms, p99 1.00 ms")
    assert lines[place + 3].startswith("from when it left: ")
    assert lines[place + 4].endswith("; generator CPU 20 %")
    assert lines[place + 5].endswith("1.00 s, 100 to 100 messages/s")
    assert "CPU" not in lines[place + 9]


def test_what_was_no_answer_is_said():
    out = io.StringIO()
    report.print_results(results_of(more={"foreign": 1234}), out)
    assert "1,234 messages of other kinds" in out.getvalue()


def test_how_replies_were_matched_is_said():
    out = io.StringIO()
    report.print_results(results_of(settings={"match": "json:id", "verify": "none"}), out)
    assert "matched by json:id, verified: none" in out.getvalue()
    report.print_results(results_of(), out := io.StringIO())
    assert "matched" not in out.getvalue()


@pytest.mark.parametrize(("verify", "way"), [("none", "received"), ("full", "each way")])
def test_which_way_the_bytes_went(verify, way):
    out = io.StringIO()
    report.print_results(results_of(settings={"verify": verify}), out)
    assert f"{way} (payload)" in out.getvalue()
