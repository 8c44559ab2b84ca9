"""wsfast.loadgen.search: finds the edge, wherever it is, with few tries."""

from __future__ import annotations

import math
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
for package in ("hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
click = pytest.importorskip("click")
search = pytest.importorskip("wsfast.loadgen.search")

URL = "ws://127.0.0.1:9/"


@pytest.mark.parametrize("edge", [100, 101, 127, 999, 5000, 123_456, 999_999])
@pytest.mark.parametrize("precision", [0.01, 0.05, 0.5])
def test_the_edge_is_found(edge, precision):
    tried = []

    def holds(number):
        tried.append(number)
        return number <= edge

    found = search.highest(100, 1_000_000, precision, holds)
    assert found <= edge <= found + max(1, precision * found)
    assert len(tried) == len(set(tried)), "nothing is tried twice"
    assert len(tried) <= 2 + math.log2(edge / 100 + 1) + math.log2(1 / precision + 1) + 2


def test_it_does_not_hold_at_all():
    assert search.highest(100, 1000, 0.05, lambda number: False) is None


@pytest.mark.parametrize("most", [100, 150, 1000])
def test_it_holds_everywhere(most):
    tried = []
    assert search.highest(100, most, 0.05, lambda number: tried.append(number) or True) == most
    assert max(tried) == most


@pytest.fixture
def server(monkeypatch):
    """A measurement that says p99 is a microsecond for each of --rate (or --connections)."""
    runs = []

    def measure(url, load, on_progress):
        runs.append(load)
        return load

    def document_of(load):
        figures = {"p50": 500 * load["rate"], "p99": 1000 * load["rate"]}
        return {
            "latency": {"actual": figures},
            "summary": {"sent": load["connections"]},
            "verdict": {"name": load.get("verdict", "VALID")},
        }

    monkeypatch.setattr(search, "measure", measure)
    monkeypatch.setattr(search, "document_of", document_of)
    return runs


def invoke(capsys, *words):
    try:
        search.command.main([URL, *words], standalone_mode=False)
        status = 0
    except SystemExit as ended:
        status = ended.code
    return status, capsys.readouterr().out


def test_the_highest_rate(server, capsys):
    status, out = invoke(capsys, "--while", "p99<20ms", "--to", "100k")
    assert status == 0
    found = int(out.splitlines()[-1].split()[-2].replace(",", ""))
    assert 19_000 <= found < 20_000
    assert all(load["duration"] == 5.0 for load in server)
    assert {"holds", "fails"} <= {line.split()[-1] for line in out.splitlines()[:-1]}


def test_every_run_has_what_a_measurement_reads(server, capsys):
    """Not only the names of the options, but what follows from them."""
    invoke(capsys, "--while", "p99<20ms", "--template", "{{seq}}", "--fragments", "2")
    for load in server:
        assert load["content"] is None
        assert (load["template"], load["text"], load["fragments"]) == ("{{seq}}", True, (2, 0))
        assert (load["size"].least, load["size"].most) == (1, 10)


def test_every_condition_must_hold(server, capsys):
    _, out = invoke(capsys, "--while", "p99<20ms", "--while", "p50<2ms", "--to", "100k")
    found = int(out.splitlines()[-1].split()[-2].replace(",", ""))
    assert 3_800 <= found < 4_000


def test_the_most_connections(server, capsys):
    words = ["--over", "connections", "-r", "1", "--while", "sent<5k", "--to", "10k"]
    _, out = invoke(capsys, *words)
    assert "connections" in out.splitlines()[-1]
    assert max(load["connections"] for load in server) > 4_000
    assert {load["rate"] for load in server} == {1}


def test_what_does_not_even_hold_at_the_lowest(server, capsys):
    status, out = invoke(capsys, "--while", "p99<1us", "--from", "500")
    assert status == 1
    assert "does not hold at 500 rate" in out


def test_the_generator_as_the_bottleneck_is_no_success(server, capsys, monkeypatch):
    monkeypatch.setitem(search.ALONE, "verdict", "GENERATOR-BOUND")
    status, out = invoke(capsys, "--while", "p99<20ms")
    assert status == 1
    assert "fails (GENERATOR-BOUND)" in out


def test_usage(server):
    with pytest.raises(click.UsageError, match="--from 10 is more than --to 5"):
        words = [URL, "--while", "p99<1s", "--from", "10", "--to", "5"]
        search.command.main(words, standalone_mode=False)
    with pytest.raises(click.UsageError, match="conditions"):
        search.command.main([URL], standalone_mode=False)
