"""wsfast.loadgen.embedded: starts a server, finds its address, never leaves it behind."""

from __future__ import annotations

import os
import sys

import pytest

pytest.importorskip("resource")
from wsfast.loadgen import embedded
from wsfast.loadgen.embedded import EchoServer

ANNOUNCE = "print('listening on ws://127.0.0.1:4711/', flush=True)"


def server_of(code):
    return EchoServer(1, command=[sys.executable, "-u", "-c", code])


def is_gone(pid):
    """Whether the process was ended and waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_address_is_read_and_the_process_stopped():
    with server_of(f"import signal; {ANNOUNCE}; signal.pause()") as server:
        assert server.url == "ws://127.0.0.1:4711/"
        assert not is_gone(server.pid)
    assert is_gone(server.pid)


def test_an_address_that_comes_in_pieces():
    code = "import signal, sys; w = sys.stdout.write; w('noise\\nws://127.0.0.1:47')"
    code += "; w('11/'); w('\\nmore\\n'); signal.pause()"
    with server_of(code) as server:
        assert server.url == "ws://127.0.0.1:4711/"


def test_it_stops_when_the_measurement_fails():
    server = server_of(f"import signal; {ANNOUNCE}; signal.pause()")
    with pytest.raises(RuntimeError, match="measurement"), server:
        raise RuntimeError("the measurement failed")
    assert is_gone(server.pid)


@pytest.mark.parametrize(
    ("code", "printed"),
    [("raise SystemExit('no such option')", "no such option"), ("pass", "nothing")],
)
def test_a_server_that_does_not_start(code, printed):
    server = server_of(code)
    with pytest.raises(OSError, match=printed), server:
        pytest.fail("it was entered")
    assert is_gone(server.pid)


def test_a_server_that_says_nothing_in_time(monkeypatch):
    monkeypatch.setattr(embedded, "START_SECONDS", 0.1)
    server = server_of("import signal; signal.pause()")
    with pytest.raises(OSError, match="nothing"), server:
        pytest.fail("it was entered")
    assert is_gone(server.pid)


def test_a_server_that_ignores_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.1)
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    with server_of(f"{ignore}; {ANNOUNCE}; signal.pause()") as server:
        pass
    assert is_gone(server.pid)


def test_workers_follow_the_connections(monkeypatch):
    monkeypatch.setattr(embedded, "raise_descriptor_limit", lambda: 1064)
    command = EchoServer(2500).command
    assert command[command.index("--workers") + 1] == "3"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs CPU affinity")
def test_it_keeps_away_from_the_cpu_of_the_generator():
    allowed = os.sched_getaffinity(0)
    mine = min(allowed)
    code = f"import signal; {ANNOUNCE}; signal.pause()"
    with EchoServer(1, (mine,), command=[sys.executable, "-u", "-c", code]) as server:
        assert os.sched_getaffinity(server.pid) == (allowed - {mine} or allowed)
