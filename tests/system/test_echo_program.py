"""wsfast-echo as users start it: what it prints, how it serves, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wsfast.rfc6455
from sockets import SANITIZED, Net, Peer, goodbye, network, text
from wire import BINARY, CLOSE, KEY, TEXT, frame

ROOT = Path(wsfast.rfc6455.__file__).resolve().parents[1]
SECONDS = 20


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Program:
    """The running program: what it says at first, and what it leaves at the end."""

    def __init__(self, *arguments: str, before: str = "", session: bool = False) -> None:
        command = [sys.executable, "-m", "wsfast.echo", *arguments]
        if before:
            command = ["sh", "-c", f'{before} && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=session,
        )

    def __enter__(self) -> Program:
        assert self.process.stdout is not None
        self.listening = self.process.stdout.readline()
        self.holds = self.process.stdout.readline()
        return self

    def __exit__(self, *args: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.finish()

    def finish(self) -> tuple[str, str]:
        """Wait for the end: what it wrote to standard output and error since."""
        if self.process.stdout is None or self.process.stdout.closed:
            return "", ""
        try:
            return self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.finish()
        return self.process.returncode, out, err

    @property
    def port(self) -> int:
        return int(re.fullmatch(r"listening on ws://\S+:(\d+)/\n", self.listening)[1])

    def connect(self, net: Net) -> Peer:
        return net.adopt(socket.create_connection(("127.0.0.1", self.port))).upgrade()

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(processes: list[int]) -> list[int]:
    """How many descriptors each process has open."""
    return [len(os.listdir(f"/proc/{each}/fd")) for each in processes]


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a program that ends by itself."""
    program = Program(*arguments)
    out, err = program.finish()
    return program.process.returncode, out, err


def test_one_process_from_start_to_end(net: Net) -> None:
    with Program("--port", "0") as program:
        assert program.holds.startswith("can hold ") and "1 process" in program.holds
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
        with Program("--port", "0") as program:
            assert program.end(number) == (0, "", "")


def test_the_descriptor_limit_is_raised_and_told() -> None:
    with Program("--port", "0", before="ulimit -S -n 100") as program:
        limits = Path(f"/proc/{program.process.pid}/limits").read_text(encoding="ascii")
        soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
        assert soft == hard != "100"
        assert f"{int(hard):,} descriptors each" in program.holds


def test_without_descriptors_it_serves_on(net: Net) -> None:
    """EMFILE: those that are open are served, and the others as soon as there is room."""
    with Program("--port", "0", before="ulimit -n 40") as program:
        held = int(re.search(r"can hold (\d+) ", program.holds)[1])
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
    with Program("--port", "0", "--workers", "2") as program:
        assert "2 processes" in program.holds
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


def test_a_worker_that_dies_ends_all_with_1() -> None:
    with Program("--port", "0", "--workers", "2") as program:
        victim, other = program.workers()
        os.kill(victim, signal.SIGKILL)
        _, err = program.finish()
        assert program.process.returncode == 1
        assert f"worker {victim} failed" in err
        assert not os.path.exists(f"/proc/{other}")


def test_workers_end_with_a_killed_supervisor(net: Net) -> None:
    with Program("--port", "0", "--workers", "2") as program:
        workers = program.workers()
        program.process.kill()
        net.until(lambda: not any(is_running(worker) for worker in workers))


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its exit status that nobody asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_terminal_interrupts_all_processes_at_once() -> None:
    """Ctrl-C reaches the workers directly, and once more through the supervisor."""
    for _ in range(4):
        program = Program("--port", "0", "--workers", "4", session=True)
        with program:
            os.killpg(program.process.pid, signal.SIGINT)
            assert program.finish() == ("", "")
            assert program.process.returncode == 0


def test_signals_at_any_moment_leave_no_worker_behind() -> None:
    """From the first fork to the last line: the supervisor never dies before its workers."""
    for lines in (0, 1, 2):
        program = Program("--port", "0", "--workers", "2")
        assert program.process.stdout is not None
        for _ in range(lines):
            program.process.stdout.readline()
        status, _, _ = program.end()
        assert status == 0 if lines else status in (0, -signal.SIGTERM)
    assert not orphans()


def orphans() -> list[str]:
    """Processes of this program whose parent is gone."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended in the meantime
            continue
        if b"wsfast.echo" in command and parent == "1":
            found.append(entry.name)
    return found


def test_a_unix_socket(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "echo"
    with Program("--unix", str(path)) as program:
        assert program.listening == f"listening on ws+unix:{path}\n"
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
    with Program("--port", "0", "--max-message-bytes", "10") as program:
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
    with Program("--port", "0") as program:
        first = program.connect(net)
        before = resident(program.process.pid)
        opened = [program.connect(net) for _ in range(2000)]
        assert resident(program.process.pid) - before < 2048 * len(opened)
        for peer in [first, *opened]:
            peer.close()
