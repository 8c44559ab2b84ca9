"""The figures of a running program: summed over workers that come and go, never going back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from programs import Program
from sockets import Net, network, text

APP = """
class Echo:
    def on_message(self, ws, message):
        ws.send(message)

class Later:
    async def on_message(self, ws, message):
        ws.send(message)
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Watched:
    """A program with its page of figures."""

    def __init__(self, directory: Path, *arguments: str, target: str = "watched:Echo") -> None:
        (directory / "watched.py").write_text(APP)
        words = ("--app-dir", str(directory), "--port", "0", *arguments)
        self.program = Program("wsfast.serve", target, *words, "--metrics", "127.0.0.1:0")
        stderr = self.program.process.stderr
        assert stderr is not None
        found = re.search(r"figures at http://127\.0\.0\.1:(\d+)/metrics", stderr.readline())
        assert found
        self.port = int(found[1])

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return str(answer.read().decode())

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.page("/stats"))
        return found

    def total(self, name: str) -> int:
        return int(self.stats()["total"].get(name, 0))


def wait(net: Net, condition: Any, seconds: float = 20.0) -> None:
    """Until it holds; each look is a request of its own."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never held"
        net.loop.run_while(lambda: True, 0.05)


def talk(net: Net, program: Program, messages: int = 1) -> None:
    """A connection that sends so much, and ends."""
    peer = program.connect(net)
    peer.send(text("x") * messages)
    net.until(lambda: len(peer.frames) == messages)
    peer.close()


@pytest.mark.parametrize(
    "arguments", [("--hosting", "alone"), ("--hosting", "asyncio"), ("--hosting", "uvloop")]
)
def test_a_process_that_serves_by_itself(
    net: Net, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    if "uvloop" in arguments:
        pytest.importorskip("uvloop")
    watched = Watched(tmp_path, *arguments, target="watched:Echo")
    with watched.program as program:
        talk(net, program, 5)
        held = program.connect(net)
        read = watched.stats()
        assert read["program"] == {} and read["workers"][0]["pids"] == [program.pid]
        assert read["total"]["messages_received"] == 5
        assert read["total"]["connections"] >= 1 and read["total"]["opened"] == 2
        assert '\nwsfast_messages_sent_total{worker="0"} 5\n' in watched.page("/metrics")
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: held.frames)
        assert watched.total("draining") == 1, "it is told to the end"
        held.close()
        assert program.finish() == ("", "") and program.process.returncode == 0


def test_workers_that_are_killed_take_nothing_with_them(net: Net, tmp_path: Path) -> None:
    """Looked at again and again, while workers are killed: no sum goes back."""
    watched = Watched(tmp_path, "--workers", "2")
    with watched.program as program:
        seen: list[dict[str, int]] = []

        def look() -> dict[str, Any]:
            read = watched.stats()
            counted = {
                name: n
                for name, n in {**read["total"], **read["program"]}.items()
                if name not in ("connections", "listening", "draining")
                and not name.startswith("workers")
            }
            if seen:
                back = {name: (n, counted.get(name)) for name, n in seen[-1].items()}
                back = {name: (a, b) for name, (a, b) in back.items() if b is None or b < a}
                assert not back, f"these went back: {back}"
            seen.append(counted)
            return read

        for n in range(1, 4):
            talk(net, program, 10)
            wait(net, lambda n=n: look()["total"].get("messages_received") == n * 10)
            victim = program.workers()[0]
            os.kill(victim, signal.SIGKILL)
            wait(
                net,
                lambda n=n, victim=victim: (
                    look()["program"]["worker_deaths"] == n
                    and look()["program"]["workers_ready"] == 2
                ),
            )
            assert look()["total"]["messages_received"] == n * 10
        read = look()
        assert read["program"] == {
            "workers": 2,
            "workers_ready": 2,
            "workers_waiting": 0,
            "worker_starts": 5,
            "worker_deaths": 3,
            "restarts": 0,
        }
        assert sorted(sum((each["pids"] for each in read["workers"]), [])) == sorted(
            program.workers()
        )
        page = watched.page("/metrics")
        sums = re.findall(r"^wsfast_messages_received_total\{worker=\"\d\"\} (\d+)$", page, re.M)
        assert len(sums) == 2 and sum(map(int, sums)) == 30
        assert "\nwsfast_worker_deaths_total 3\n" in page and len(seen) > 6
        assert program.end()[0] == 0


@pytest.mark.parametrize("target", ["watched:Echo", "watched:Later"])
def test_a_restart_keeps_the_sums_to_the_last_message(
    net: Net, tmp_path: Path, target: str
) -> None:
    """A worker that ends tells what it has counted at the very end, coroutines or not."""
    watched = Watched(tmp_path, "--workers", "2", target=target)
    with watched.program as program:
        for n in range(1, 3):
            before = set(program.workers())
            talk(net, program, 7)
            program.process.send_signal(signal.SIGHUP)
            wait(net, lambda before=before: not before & set(program.workers()))
            wait(net, lambda n=n: watched.total("messages_received") == n * 7)
            assert watched.stats()["program"]["restarts"] == n
        assert watched.stats()["program"]["worker_deaths"] == 0
        assert program.end()[0] == 0


def test_the_page_of_a_supervisor_is_not_inherited(net: Net, tmp_path: Path) -> None:
    """Nobody else answers there, and who asks at the end of the program is let go."""
    watched = Watched(tmp_path, "--workers", "2")
    with watched.program as program:
        asking = net.adopt(socket.create_connection(("127.0.0.1", watched.port)))
        asking.send(b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n")
        asking.take_head()
        old = program.workers()
        os.kill(old[0], signal.SIGKILL)
        wait(net, lambda: not set(old) <= set(program.workers()))
        wait(net, lambda: watched.stats()["program"]["workers_ready"] == 2)
        sockets = sockets_of(program.pid)
        for worker in program.workers():
            shared = sockets_of(worker) & sockets
            assert len(shared) <= 1, "its listening socket, and nothing of the page"
        assert program.end()[0] == 0
        net.until(lambda: asking.ended)


def sockets_of(pid: int) -> set[str]:
    """The TCP sockets of a process, by inode."""
    ours = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since they were listed
            inode = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry))
            if inode and inode[1] in ours:
                found.add(inode[1])
    return found


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_an_address_that_is_taken_is_a_line_and_1(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "watched.py").write_text(APP)
        words = ("--app-dir", str(tmp_path), "--port", "0", *workers)
        page = ("--metrics", f"127.0.0.1:{taken.getsockname()[1]}")
        program = Program("wsfast.serve", "watched:Echo", *words, *page)
        out, err = program.finish()
    assert (program.process.returncode, out) == (1, "")
    assert "Address already in use" in err and "Traceback" not in err
