"""wsfast.loadgen.fanout: both commands become a plan, and run against servers of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
for package in ("hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
click = pytest.importorskip("click")
fanout = pytest.importorskip("wsfast.loadgen.fanout")

URL = "ws://127.0.0.1:9/"


@pytest.fixture
def asked(monkeypatch):
    """The options with which a run was asked for, instead of the run."""
    runs = []

    def run(url, options):
        runs.append(options)
        return 0

    monkeypatch.setattr(fanout, "run", run)
    return runs


def invoke(command, *arguments):
    with pytest.raises(SystemExit) as ended:
        command.main(list(arguments), standalone_mode=False)
    return ended.value.code


def test_publishers_are_beside_the_subscribers(asked):
    invoke(fanout.command, URL, "-c", "100", "--publishers", "5", "-r", "1k", "--topics", "4")
    (options,) = asked
    assert (options["connections"], options["lanes"], options["topics"]) == (105, 5, 4)
    assert (options["rate"], options["mode"], options["size"].most) == (1000, "fanout", 64)


def test_recv_sends_nothing(asked):
    invoke(fanout.recv, URL, "--subscribe", "hello", "--subscribe-answers", "2")
    (options,) = asked
    assert (options["mode"], options["rate"], options["lanes"]) == ("recv", None, 0)
    assert (options["subscribe"], options["subscribe_answers"]) == ("hello", (2, None))


def test_both_have_every_option_that_a_run_reads(asked):
    invoke(fanout.command, URL)
    invoke(fanout.recv, URL)
    assert asked[0].keys() == asked[1].keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-s", "51"], "less than 52"),
        (["--envelope", "nothing"], "has no {payload}"),
        (["--publishers", "0"], "less than 1"),
    ],
)
def test_usage_errors(asked, words, said):
    with pytest.raises(click.UsageError, match=said):
        fanout.command.main([URL, *words], standalone_mode=False)
    assert not asked


def bench(*words):
    command = [sys.executable, "-m", "wsfast.loadgen", *words, "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_real_fanout(workers):
    """Against the broadcast server that it starts itself; over processes too."""
    found = bench("fanout", "-c", "20", "-r", "100", "-d", "1s", "-w", workers)
    assert found["mode"] == "fanout"
    delivery = found["delivery"]
    assert delivery["subscribers"] == 20
    assert delivery["reach"] == delivery["expected"] == 20 * found["summary"]["sent"]
    assert delivery["last_subscriber"]["count"] == found["summary"]["sent"]
    assert delivery["last_subscriber"]["p50"] >= found["latency"]["intended"]["p50"]


def test_a_real_ticker():
    """Ten a second; interrupted when enough have come, however long that takes."""
    command = [sys.executable, "-m", "wsfast.loadgen", "recv", "-c", "5", "-d", "10m"]
    start = time.monotonic()
    with subprocess.Popen(
        [*command, "--gap", "50ms", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if "messages" in line and int(line.split()[0].replace(",", "")) >= 100:
                break
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=200)
    assert process.returncode == 130
    found = json.loads(out)
    assert found["mode"] == "recv"
    assert found["summary"]["sent"] == 0
    received = found["summary"]["received"]
    assert 100 <= received <= 5 * (1 + 10 * (time.monotonic() - start))
    interarrival = found["recv"]["interarrival"]
    assert interarrival["count"] == received - 5
    assert 0 < found["recv"]["gaps"] <= interarrival["count"]
    assert interarrival["max"] >= 50_000_000
