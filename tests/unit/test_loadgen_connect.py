"""wsfast.loadgen.connect: a storm of handshakes, held and churned, against wsfast-echo."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
pytest.importorskip("websockets")
pytest.importorskip("wsfast.loadgen.connect")

from lying_servers import Server, running  # noqa: E402


def bench(*words):
    command = [sys.executable, "-m", "wsfast.loadgen", "connect", *words, "-q"]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_a_storm():
    done = bench("-c", "300", "-d", "200ms", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mode"] == "connect"
    connections = found["connections"]
    assert connections["opened"] == connections["handshake"]["count"] == 300
    assert connections["reconnected"] == 0
    assert found["summary"]["sent"] == 0
    assert found["errors"] == {"server": {}, "generator": {}}


def test_a_rate():
    done = bench("-c", "100", "-d", "100ms", "--connect-rate", "200", "--json")
    connections = json.loads(done.stdout)["connections"]
    assert 0.4 <= connections["seconds"] < 200, "half a second, or longer on a machine that stalls"
    assert connections["per_second"] == pytest.approx(100 / connections["seconds"], rel=0.01)


def test_churn():
    """Interrupted when the server has seen enough."""
    server = Server()
    with running(server) as port:
        words = ["connect", f"ws://127.0.0.1:{port}/", "-c", "20", "-d", "10m", "--churn", "200ms"]
        command = [sys.executable, "-m", "wsfast.loadgen", *words, "-q", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            server.stop = lambda: process.send_signal(signal.SIGINT)
            server.until = lambda: server.opened >= 100
            out, _ = process.communicate(timeout=200)
    assert process.returncode == 130
    found = json.loads(out)
    connections = found["connections"]
    assert connections["reconnected"] >= 60, "100, but for the first and those on their way"
    most = 20 * (1 + found["summary"]["window_seconds"] / 0.1)
    assert connections["reconnected"] <= most, "each lives for 0.1 s or longer"
    assert connections["handshake"]["count"] == 20 + connections["reconnected"]


def test_what_people_read():
    done = bench("-c", "20", "-d", "100ms")
    assert done.returncode == 0, done.stderr
    assert "20 of 20 opened" in done.stdout
    assert "handshake p99.9" in done.stdout
    assert "in flight" not in done.stdout


def test_nobody_there():
    done = bench("ws://127.0.0.1:9/", "-c", "2", "-d", "100ms")
    assert done.returncode == 1
    assert "connection refused" in done.stderr
