"""wsfast.loadgen.worker: kinds of errors, commands, and the process that is started."""

from __future__ import annotations

import errno
import gc
import json
import os
import socket
import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("hdrh")
pytest.importorskip("numpy")
worker = pytest.importorskip("wsfast.loadgen.worker")

from wsfast.loadgen.channel import LineReader  # noqa: E402
from wsfast.loadgen.coordinator import worker_environment  # noqa: E402
from wsfast.loadgen.plan import Plan  # noqa: E402


@pytest.fixture
def silent_port():
    """A port whose listener never accepts: connections are made, and never answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def pipes():
    """commands_out, commands_in, reports_out, reports_in; what a test closes it sets to -1."""
    ends = [*os.pipe(), *os.pipe()]
    yield ends
    gc.unfreeze()
    for fd in ends:
        if fd >= 0:
            os.close(fd)


def plan_for(port, **fields):
    return Plan(url=f"ws://127.0.0.1:{port}/", address="127.0.0.1", port=port, **fields)


def reports_of(pipes):
    """Everything that a session wrote; closes the writing end."""
    os.close(pipes[3])
    pipes[3] = -1
    data = b""
    while chunk := os.read(pipes[2], 1 << 16):
        data += chunk
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.EADDRNOTAVAIL, "addresses_exhausted"),
        (errno.EMFILE, "descriptors_exhausted"),
        (errno.ENFILE, "descriptors_exhausted"),
        (errno.ENOBUFS, "memory_exhausted"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.EPIPE, "reset"),
        (errno.EPROTO, "eproto"),
        (99999, "errno_99999"),
        ("handshake_403", "handshake_403"),
    ],
)
def test_kinds(cause, kind):
    assert worker.error_kind(cause) == kind


def test_a_stop_while_connecting(silent_port, pipes):
    """Connections on their way are dropped without being called errors of anybody."""
    os.write(pipes[1], b'{"stop":true}\n')
    plan = plan_for(silent_port, connections=20, opening=4)
    worker.Session(plan, LineReader(pipes[0]), pipes[3]).run()
    reports = reports_of(pipes)
    result = reports[-1]["result"]
    assert [report["event"] for report in reports[-2:]] == ["connected", "result"]
    assert result["opened"] == 0
    assert result["errors"] == {"server": {}, "generator": {}}


def test_the_connect_rate(silent_port, pipes):
    """Ten a second: the third connection is begun 0.2 s after the first."""
    plan = plan_for(silent_port, connections=3, connect_rate=10.0, connect_seconds=0.2)
    os.write(pipes[1], b'{"start_ns":0}\n')
    session = worker.Session(plan, LineReader(pipes[0]), pipes[3])
    session.run()
    assert session.connect_seconds >= 0.2
    assert reports_of(pipes)[-1]["result"]["errors"]["server"] == {"timeout": 3}


def test_handshakes_under_way_are_bounded(silent_port, pipes):
    plan = plan_for(silent_port, connections=10, opening=3, connect_seconds=0.1)
    session = worker.Session(plan, LineReader(pipes[0]), pipes[3])
    os.write(pipes[1], b'{"start_ns":0}\n')
    highest = 0
    turn = session.turn

    def watched(seconds):
        nonlocal highest
        highest = max(highest, session.engine.pending)
        turn(seconds)

    session.turn = watched
    session.run()
    assert highest == 3
    assert reports_of(pipes)[-1]["result"]["failed"] == 10


def start_process():
    return subprocess.Popen(
        [sys.executable, "-m", "wsfast.loadgen.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=worker_environment(),
    )


def test_the_process_works_off_the_plan_of_its_standard_input(silent_port):
    plan = plan_for(silent_port, connections=2, connect_seconds=0.1, messages=5)
    with start_process() as process:
        lines = json.dumps(plan.to_dict()) + '\n{"start_ns":0}\n'
        out, err = process.communicate(lines.encode(), timeout=30)
    assert (process.returncode, err) == (0, b"")
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "result"
    assert events[-1]["result"]["worker"]["pid"] == process.pid
    assert events[-1]["result"]["worker"]["max_rss_bytes"] > 1 << 20


def test_a_stop_that_comes_with_the_plan(silent_port):
    """The user interrupts while the process is starting: it reads both at once."""
    plan = plan_for(silent_port, connections=1, connect_seconds=60.0)
    with start_process() as process:
        process.stdin.write(json.dumps(plan.to_dict()).encode() + b'\n{"stop":true}\n')
        process.stdin.flush()
        assert process.wait(30) == 0
        events = [json.loads(line) for line in process.stdout]
    assert events[-1]["result"]["opened"] == 0
    assert events[-1]["result"]["errors"] == {"server": {}, "generator": {}}


def test_the_process_has_one_thread(silent_port):
    """Or every system call would cost more; the first report comes when all is imported."""
    plan = plan_for(silent_port, connections=1, connect_seconds=60.0)
    with start_process() as process:
        process.stdin.write(json.dumps(plan.to_dict()).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
        assert len(os.listdir(f"/proc/{process.pid}/task")) == 1
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_process_without_a_plan_ends():
    with start_process() as process:
        out, err = process.communicate(b"", timeout=30)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_a_process_whose_reader_is_gone_ends(silent_port):
    plan = plan_for(silent_port, connections=1, connect_seconds=60.0)
    with start_process() as process:
        process.stdout.close()
        process.stdin.write(json.dumps(plan.to_dict()).encode() + b"\n")
        process.stdin.flush()
        assert process.wait(30) != 0
        assert b"coordinator is gone" in process.stderr.read()
