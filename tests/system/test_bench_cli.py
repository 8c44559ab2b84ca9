"""wsfast-bench from end to end: the process as users start it, against wsfast-echo."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("wsfast-bench runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "rich"):
    pytest.importorskip(package)
pytest.importorskip("wsfast.loadgen.engine")

import wsfast.rfc6455  # noqa: E402
from wsfast.loadgen.cpu import family_of  # noqa: E402
from wsfast.loadgen.embedded import EchoServer  # noqa: E402
from wsfast.loadgen.hdrblob import from_dict  # noqa: E402

#: Where the build under test lies: under make asan not the checkout.
ROOT = Path(wsfast.rfc6455.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def server():
    """The echo server of wsfast."""
    with EchoServer(500) as running:
        yield running


def start(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "wsfast.loadgen", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def bench(*arguments):
    """Run to the end: (exit status, standard output, standard error)."""
    with start(*arguments) as process:
        out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def bench_json(*arguments):
    status, out, err = bench(*arguments, "--json", "-q")
    assert (status, err) == (0, "")
    return json.loads(out)


def until_messages_flow(process):
    """Wait until the program reports messages; the workers that it has started."""
    for line in process.stderr:
        if re.search(r"messages, [\d,]+/s", line):
            break
    return family_of(process.pid)[1:]


@contextlib.contextmanager
def watched(pids):
    """Descriptors that become readable when these processes end, also if they are not ours."""
    descriptors = [os.pidfd_open(pid) for pid in pids]
    try:
        yield descriptors
    finally:
        for each in descriptors:
            os.close(each)


def all_end(descriptors, seconds=30):
    """Whether all watched processes end within so many seconds."""
    return all(select.select([each], [], [], seconds)[0] for each in descriptors)


def test_the_demo():
    """Without a URL: an embedded server, 100 connections, a table with everything in it."""
    status, out, err = bench("-c", "100", "-d", "1s", "--drain", "1m")
    assert status == 0, err
    assert re.search(r"^connections +100 of 100 opened", out, re.MULTILINE)
    assert re.search(r"^messages/s +[\d,]+$", out, re.MULTILINE)
    for name in ("p50", "p75", "p90", "p99", "p99.9", "max", "mean"):
        assert re.search(rf"^latency {re.escape(name)} +[\d.]+ (ns|us|ms|s)", out, re.MULTILINE)
    assert re.search(r"^errors +none$", out, re.MULTILINE)
    assert re.search(r"^generator CPU +\d+ % of a core$", out, re.MULTILINE)
    assert re.search(r"^messages per target CPU-second +[\d,]+$", out, re.MULTILINE)
    assert "coordinated omission applies" in out


@pytest.mark.parametrize("size", ["0", "126", "70000", "1m"])
@pytest.mark.parametrize("kind", [[], ["-t"]])
def test_sizes(server, size, kind):
    fields = bench_json(server.url, "-c", "3", "-n", "100", "-p", "4", "-s", size, *kind)
    assert fields["summary"]["sent"] == fields["summary"]["received"] == 100
    assert fields["errors"] == {"server": {}, "generator": {}}


def test_workers_are_merged(server):
    fields = bench_json(server.url, "-c", "10", "-n", "1k", "-w", "3")
    assert fields["settings"]["workers"] == len(fields["generator"]["workers"]) == 3
    assert fields["connections"]["opened"] == 10
    assert from_dict(fields["latency"]["actual"]).total == 1000
    assert from_dict(fields["connections"]["handshake"]).total == 10


def test_a_paced_connect_phase(server):
    fields = bench_json(server.url, "-c", "40", "-n", "40", "--connect-rate", "100")
    assert 0.35 <= fields["connections"]["seconds"] < 200


def test_sources_on_loopback(server):
    assert bench_json(server.url, "-c", "2", "-n", "2")["settings"]["sources"] == ["127.0.0.2"]
    chosen = bench_json(server.url, "-c", "2", "-n", "2", "--bind", "127.0.0.9")
    assert chosen["settings"]["sources"] == ["127.0.0.9"]
    assert chosen["connections"]["opened"] == 2


def test_the_target_process(server):
    fields = bench_json(
        server.url, "-c", "20", "-p", "16", "-n", "20k", "--target-pid", str(server.pid)
    )
    assert fields["target"]["pid"] == server.pid
    assert fields["target"]["messages_per_cpu_second"] > 1000


def test_nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        status, out, err = bench(f"ws://127.0.0.1:{port}/", "-c", "3", "-d", "1s")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"wsfast-bench: no connection to ws://127.0.0.1:{port}/ could be opened: "
        "3 x connection refused"
    )


def test_usage():
    assert bench("ftp://127.0.0.1/")[0] == 2
    assert bench("-d", "soon")[0] == 2


def test_an_interrupt_prints_the_results(server):
    with start(server.url, "-c", "5", "-d", "10m", "-w", "2") as process:
        workers = until_messages_flow(process)
        with watched(workers) as ends:
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=200)
            assert all_end(ends)
    assert len(workers) == 2
    assert process.returncode == 130
    assert "Interrupted" in out
    assert re.search(r"^latency p99 ", out, re.MULTILINE)


def test_a_killed_program_leaves_no_worker(server):
    with start(server.url, "-c", "5", "-d", "10m") as process:
        workers = until_messages_flow(process)
        with watched(workers) as ends:
            process.kill()
            process.communicate(timeout=200)
            assert all_end(ends)
    assert len(workers) == 1


def test_options_from_a_file(server, tmp_path, monkeypatch):
    path = tmp_path / "bench.toml"
    path.write_text(f'url = "{server.url}"\nmessages = 90\n[echo]\nconnections = 3\ntext = true\n')
    found = bench_json("--config", str(path))
    assert (found["settings"]["connections"], found["settings"]["text"]) == (3, True)
    assert found["summary"]["received"] == 90
    monkeypatch.setenv("WSFAST_BENCH_CONFIG", str(path))
    assert bench_json("-c", "2")["connections"]["opened"] == 2
    path.write_text("conections = 3\n")
    status, _, err = bench("-c", "2")
    assert status == 2
    assert f"{path}: 'conections' is no option of wsfast-bench" in err


def test_a_shell_completes_words(monkeypatch):
    status, script, _ = bench("--completion", "bash")
    assert status == 0
    assert "complete -o nosort -F" in script
    monkeypatch.setenv("_WSFAST_BENCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "wsfast-bench fan")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert bench()[1] == "plain,fanout\n"
    monkeypatch.setenv("COMP_WORDS", "wsfast-bench ws://h/ --templ")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert bench()[1] == "plain,--template\n"


def test_a_template_from_a_file(server, tmp_path):
    path = tmp_path / "call.json"
    path.write_text('{"id": {{seq}}, "who": {{choice 1 two}}}')
    status, _, err = bench(server.url, "--template", str(path))
    assert status == 2
    assert "call.json, line 1 column 24" in err
    path.write_text('{"id": {{seq}}, "who": "{{choice 1 two}}", "at": "{{time_iso}}"}')
    words = [
        "--template",
        str(path),
        "--match",
        "json:id",
        "--verify",
        "full",
        "--fragments",
        "16b",
    ]
    found = bench_json(server.url, "-c", "3", "-n", "90", "-p", "2", *words)
    assert found["summary"]["received"] == 90
    assert found["errors"] == {"server": {}, "generator": {}}
    assert found["settings"]["match"] == "json:id"
    assert "template" not in found["settings"]


def test_stages_in_the_table_and_in_a_file(server, tmp_path):
    path = tmp_path / "run.csv"
    words = ["--stages", "300ms:200,300ms:200", "-c", "4", "-w", "2", "-o", str(path), "-q"]
    status, out, _ = bench(server.url, *words)
    assert status == 0
    assert re.search(r"^stage 1 +300 ms, 0 to 200 messages/s$", out, re.MULTILINE)
    assert re.search(r"^ +200/s asked, 200 sent, \d+ answered$", out, re.MULTILINE)
    lines = (tmp_path / "run.stages.csv").read_text().splitlines()
    assert [line.split(",")[:6] for line in lines[1:]] == [
        ["1", "0.3", "0.0", "200.0", "100.0", "30"],
        ["2", "0.3", "200.0", "200.0", "200.0", "60"],
    ]
