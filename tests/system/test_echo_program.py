"""wsfast-echo as users start it: what it prints, how it serves, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from programs import Program, descriptors, is_running, orphans
from sockets import SANITIZED, Net, goodbye, network, text
from wire import BINARY, CLOSE, KEY, TEXT, frame


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def echo(*arguments: str, **options: Any) -> Program:
    """wsfast-echo, which prints two lines at first."""
    return Program("wsfast.echo", *arguments, lines=2, **options)


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a program that ends by itself."""
    program = echo(*arguments)
    out, err = program.finish()
    return program.process.returncode, out, err


def test_one_process_from_start_to_end(net: Net) -> None:
    with echo("--port", "0") as program:
        assert program.said[1].startswith("can hold ") and "1 process" in program.said[1]
        peer = program.connect(net)
        peer.send(text("hello") + frame(BINARY, bytes(300_000), key=KEY))
        peer.expect((TEXT, b"hello"), (BINARY, bytes(300_000)))
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: len(peer.frames) == 3)
        assert peer.frames[-1] == (CLOSE, b"\x03\xe9server shutdown")
        peer.send(goodbye(1001))
        net.until(lambda: peer.ended)
        assert program.finish() == ("", "")
        assert program.process.returncode == 0


def test_sigint_and_a_signal_right_after_the_first_line() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with echo("--port", "0") as program:
            assert program.end(number) == (0, "", "")


def test_the_descriptor_limit_is_raised_and_told() -> None:
    with echo("--port", "0", before="ulimit -S -n 100") as program:
        limits = Path(f"/proc/{program.process.pid}/limits").read_text(encoding="ascii")
        soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
        assert soft == hard != "100"
        assert f"{int(hard):,} descriptors each" in program.said[1]


def test_without_descriptors_it_serves_on(net: Net) -> None:
    """EMFILE: those that are open are served, and the others as soon as there is room."""
    with echo("--port", "0", before="ulimit -n 40") as program:
        held = int(re.search(r"can hold (\d+) ", program.said[1])[1])
        assert 20 < held < 40
        peers = [program.connect(net) for _ in range(held)]
        late = net.adopt(socket.create_connection(("127.0.0.1", program.port)))
        late.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for peer in peers:
            peer.send(text("open"))
            peer.expect((TEXT, b"open"))
        assert not late.received
        peers[0].close()
        assert late.take_head().startswith(b"HTTP/1.1 426 ")
        for peer in [*peers, late]:
            peer.close()
        status, _, err = program.end()
        assert status == 0
        assert err.count("cannot accept: Too many open files") == 1


def test_workers_share_the_port_and_end_together(net: Net) -> None:
    with echo("--port", "0", "--workers", "2") as program:
        assert "2 processes" in program.said[1]
        workers = program.workers()
        assert len(workers) == 2
        idle = descriptors(workers)
        peers = [program.connect(net) for _ in range(32)]
        for peer in peers:
            peer.send(text("any"))
            peer.expect((TEXT, b"any"))
            peer.received.clear()
        assert all(now > before for now, before in zip(descriptors(workers), idle, strict=True))
        program.process.send_signal(signal.SIGTERM)
        for peer in peers:
            peer.expect((CLOSE, b"\x03\xe9server shutdown"))
            peer.send(goodbye(1001))
        net.until(lambda: all(peer.ended for peer in peers))
        assert program.finish() == ("", "")
        assert program.process.returncode == 0
        assert not any(os.path.exists(f"/proc/{worker}") for worker in workers)


def test_a_worker_that_dies_is_replaced(net: Net) -> None:
    with echo("--port", "0", "--workers", "2") as program:
        victim, other = program.workers()
        os.kill(victim, signal.SIGKILL)
        net.poll(lambda: len(set(program.workers()) - {victim}) == 2)
        assert other in program.workers()
        for _ in range(16):
            peer = program.connect(net)
            peer.send(text("on"))
            peer.expect((TEXT, b"on"))
            peer.close()
        status, _, err = program.end()
        assert status == 0
        assert f"worker {victim} was killed by SIGKILL; another one starts" in err


def test_workers_end_with_a_killed_supervisor(net: Net) -> None:
    with echo("--port", "0", "--workers", "2") as program:
        workers = program.workers()
        program.process.kill()
        net.poll(lambda: not any(is_running(worker) for worker in workers))


def test_a_terminal_interrupts_all_processes_at_once() -> None:
    """Ctrl-C reaches the workers directly, and once more through the supervisor."""
    for _ in range(4):
        program = echo("--port", "0", "--workers", "4", session=True)
        with program:
            os.killpg(program.process.pid, signal.SIGINT)
            assert program.finish() == ("", "")
            assert program.process.returncode == 0


def test_signals_at_any_moment_leave_no_worker_behind() -> None:
    """From the first fork to the last line: the supervisor never dies before its workers."""
    host = f"127.1.{os.getpid() // 256 % 256}.{os.getpid() % 256}"  # nobody else's
    for lines in (0, 1, 2):
        program = echo("--host", host, "--port", "0", "--workers", "2")
        assert program.process.stdout is not None
        for _ in range(lines):
            program.process.stdout.readline()
        status, _, _ = program.end()
        assert status == 0 if lines else status in (0, -signal.SIGTERM)
    assert not orphans(host)


def test_a_unix_socket(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "echo"
    with echo("--unix", str(path)) as program:
        assert program.said[0] == f"listening on ws+unix:{path}\n"
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(str(path))
        peer = net.adopt(connected).upgrade()
        peer.send(text("local"))
        peer.expect((TEXT, b"local"))
        peer.close()
        assert program.end() == (0, "", "")
    assert not path.exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_busy_port_is_a_clear_message_and_1(workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        status, out, err = run("--port", str(port), "--workers", workers)
    assert (status, out) == (1, "")
    assert err.startswith("wsfast-echo: ") and "Address already in use" in err
    assert str(port) in err and "Traceback" not in err


def test_a_host_that_is_not_here_is_a_clear_message_and_1() -> None:
    status, out, err = run("--host", "198.51.100.1")
    assert (status, out) == (1, "")
    assert "198.51.100.1" in err and "Traceback" not in err


def test_a_usage_error_is_2() -> None:
    status, out, err = run("--port", "http")
    assert (status, out) == (2, "")
    assert err.startswith("usage: wsfast-echo ")


def test_the_longest_message(net: Net) -> None:
    with echo("--port", "0", "--max-message-bytes", "10") as program:
        peer = program.connect(net)
        peer.send(text("ten bytes!") + text("11 bytes ..") + bytes(1 << 20))
        peer.expect_close(1009)
        peer.close()
        assert peer.frames[0] == (TEXT, b"ten bytes!")


def resident(pid: int) -> int:
    """Bytes that a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(SANITIZED, reason="memory under a sanitizer says nothing")
def test_idle_connections_cost_little(net: Net) -> None:
    """Growth of the server's memory over 2,000 connections: at most 2 KiB each."""
    with echo("--port", "0") as program:
        first = program.connect(net)
        before = resident(program.process.pid)
        opened = [program.connect(net) for _ in range(2000)]
        assert resident(program.process.pid) - before < 2048 * len(opened)
        for peer in [first, *opened]:
            peer.close()
