"""wsfast-serve as people run it: restarts under load, deaths, drains, systemd, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from programs import Program, is_running, orphans
from sockets import Net, Peer, goodbye, network, text
from storm import Storm
from wire import CLOSE, TEXT

APP = """
import os

class Echo:
    def on_message(self, ws, message):
        ws.send({"version": "VERSION", "pid": str(os.getpid())}.get(message, message))
"""

#: Passes a listening socket on as systemd does, and becomes the program.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="web", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""

GOING_AWAY = b"\x03\xe9server shutdown"
RESTARTED = b"\x03\xf4service restart"
SHARING = ["--reuse-port", "--shared-socket"]


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class App:
    """A module beside which the program runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("one")

    def write(self, version: str) -> None:
        # Another size: the cached bytecode of a source goes by its time, in seconds, and its size.
        code = APP.replace("VERSION", version) + "#" * len(os.listdir(self.directory))
        (self.directory / "chat.py").write_text(code)

    def serve(self, *arguments: str, port: str = "0", **options: Any) -> Program:
        words = ("chat:Echo", "--app-dir", str(self.directory), "--port", port, *arguments)
        environment = {"PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
        return Program("wsfast.serve", *words, env=environment, **options)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path)


def ask(net: Net, program: Program, question: str) -> str:
    """What it answers, on a connection of its own that is closed then."""
    peer = program.connect(net)
    peer.send(text(question))
    net.until(lambda: peer.frames or peer.ended)
    opcode, payload = peer.frames[0]
    assert opcode == TEXT
    peer.close()
    return payload.decode()


def answer_closes(net: Net, peers: list[Peer]) -> None:
    """Wait for the Close of each, answer it, and wait for the end."""
    net.until(lambda: all(peer.frames for peer in peers))
    for peer in peers:
        peer.send(goodbye(1001))
    net.until(lambda: all(peer.ended for peer in peers))


# --- one process ---------------------------------------------------------------------------------


def test_from_start_to_end(net: Net, app: App) -> None:
    pid_file = app.directory / "pid"
    with app.serve("--pid-file", str(pid_file)) as program:
        assert pid_file.read_text() == f"{program.pid}\n"
        peers = [program.connect(net) for _ in range(3)]
        peers[0].send(text("hello"))
        peers[0].expect((TEXT, b"hello"))
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: all((CLOSE, GOING_AWAY) in peer.frames for peer in peers))
        for peer in peers:
            peer.send(goodbye(1001))
        assert program.finish() == ("", "")
        assert program.process.returncode == 0 and not pid_file.exists()


def test_options_of_the_drain(net: Net, app: App) -> None:
    """1012 in place of 1001, ten a second, and those that never answer are cut."""
    with app.serve("--close-code", "1012", "--drain-rate=10", "--drain-seconds=0.7") as program:
        peers = [program.connect(net) for _ in range(20)]
        begun = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: all(peer.ended for peer in peers))
        assert time.monotonic() - begun >= 0.7
        assert {peer.frames[0] for peer in peers} == {(CLOSE, b"\x03\xf4server shutdown")}
        _, err = program.finish()
        assert program.process.returncode == 0
        assert "20 of 20 connections are cut at the limit" in err


def test_a_second_signal_does_not_wait(net: Net, app: App) -> None:
    with app.serve("--drain-seconds", "600") as program:
        peer = program.connect(net)
        program.process.send_signal(signal.SIGINT)
        net.until(lambda: peer.frames)
        program.process.send_signal(signal.SIGINT)
        net.until(lambda: peer.ended)
        program.finish()
        assert program.process.returncode == 0


def test_logs_as_json_with_access(net: Net, app: App) -> None:
    with app.serve("--log-json", "--access-log") as program:
        ask(net, program, "any")
        status, _, err = program.end()
    assert status == 0
    records = [json.loads(line) for line in err.splitlines()]
    access = [each for each in records if each["logger"] == "wsfast.access"]
    assert [each["event"] for each in access] == ["handshake", "close"]
    assert access[0]["status"] == 101 and access[1]["close_code"] == 1006
    assert {each["process"] for each in records} == {program.pid}


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("chat:missing", "module 'chat' has no attribute 'missing'"),
        ("broken:app", "ZeroDivisionError"),
    ],
)
def test_an_application_that_cannot_be_loaded(
    app: App, workers: tuple[str, ...], target: str, message: str
) -> None:
    (app.directory / "broken.py").write_text("1 / 0\n")
    words = ("--app-dir", str(app.directory), "--port", "0", *workers)
    program = Program("wsfast.serve", target, *words)
    out, err = program.finish()
    assert (program.process.returncode, out) == (1, "")
    assert message in err
    assert ("Traceback" in err) == (target == "broken:app")


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_a_port_that_is_taken(app: App, workers: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = app.serve(*workers, port=str(taken.getsockname()[1]))
        out, err = program.finish()
    assert (program.process.returncode, out) == (1, "")
    assert "Address already in use" in err and "Traceback" not in err


def test_wrong_usage_is_2(app: App) -> None:
    program = app.serve("--workers", "many")
    out, err = program.finish()
    assert (program.process.returncode, out) == (2, "")
    assert "'many' is not a whole number" in err


# --- workers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharing", SHARING)
def test_a_restart_under_load_refuses_and_resets_not_one_handshake(
    net: Net, app: App, sharing: str
) -> None:
    """Three restarts, each to new code, while clients connect as fast as they can."""
    with app.serve("--workers", "2", sharing) as program:
        storm = Storm(net, program.port)
        storm.until(50)
        for version in ("two", "three", "four"):
            before = set(program.workers())
            held = [program.connect(net) for _ in range(8)]
            app.write(version)
            program.process.send_signal(signal.SIGHUP)
            while before & set(program.workers()):
                storm.until(20)
                for peer in held:
                    if peer.frames and not peer.ended and len(peer.received) == len(RESTARTED) + 2:
                        peer.send(goodbye(1012))
                        peer.received += b"\x8a\x00"
            assert {peer.frames[0] for peer in held} == {(CLOSE, RESTARTED)}
            assert ask(net, program, "version") == version
        storm.until(50)
        storm.end()
        assert storm.answers.keys() == {"101"}, storm.answers
        assert sum(storm.answers.values()) > 200
        assert program.end()[0] == 0


@pytest.mark.parametrize("sharing", SHARING)
def test_a_worker_killed_under_load_takes_only_its_own_with_it(
    net: Net, app: App, sharing: str
) -> None:
    """SIGKILL: the handshakes that it had accepted end, none is refused, the rest goes on."""
    with app.serve("--workers", "2", sharing) as program:
        storm = Storm(net, program.port)
        storm.until(50)
        for _ in range(3):
            victim, other = program.workers()
            os.kill(victim, signal.SIGKILL)
            while victim in program.workers() or len(program.workers()) < 2:
                storm.until(20)
            assert other in program.workers()
        storm.until(50)
        storm.end()
        assert not storm.answers.keys() - {"101", "reset"}, storm.answers
        assert storm.answers["reset"] <= 3 * 8, "at most those that were under way"
        status, _, err = program.end()
        assert status == 0 and err.count("was killed by SIGKILL") == 3


def test_sigterm_in_a_storm_of_handshakes(net: Net, app: App) -> None:
    """Whoever was accepted is answered; the program ends with 0, in time, and leaves nobody."""
    with app.serve("--workers", "2", "--drain-seconds", "5") as program:
        workers = program.workers()
        storm = Storm(net, program.port, clients=32)
        storm.until(100)
        program.process.send_signal(signal.SIGTERM)
        while program.process.poll() is None:
            storm.until(1)
        assert program.process.returncode == 0
        storm.end()
        assert set(storm.answers) <= {"101", "503", "refused", "reset"}
        assert not any(is_running(worker) for worker in workers)


def test_the_supervisor_is_killed(net: Net, app: App) -> None:
    with app.serve("--workers", "2") as program:
        workers = program.workers()
        peers = [program.connect(net) for _ in range(8)]
        program.process.kill()
        answer_closes(net, peers)
        assert {peer.frames[0] for peer in peers} == {(CLOSE, GOING_AWAY)}
        net.poll(lambda: not any(is_running(worker) for worker in workers))
    assert not orphans(str(app.directory))


def test_workers_drain_clients_that_never_answer(net: Net, app: App) -> None:
    with app.serve("--workers", "2", "--drain-seconds", "0.5") as program:
        peers = [program.connect(net) for _ in range(16)]
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: all(peer.ended for peer in peers))
        assert {peer.frames[0] for peer in peers} == {(CLOSE, GOING_AWAY)}
        program.finish()
        assert program.process.returncode == 0


def test_new_code_that_fails_leaves_the_old_workers(net: Net, app: App) -> None:
    with app.serve("--workers", "2") as program:
        before = program.workers()
        (app.directory / "chat.py").write_text("syntax error here\n")
        program.process.send_signal(signal.SIGHUP)
        assert program.process.stderr is not None
        for line in program.process.stderr:
            if "the restart is given up" in line:
                break
        assert program.workers() == before
        assert ask(net, program, "version") == "one"
        assert program.end()[0] == 0


def test_workers_on_a_unix_socket(net: Net, app: App) -> None:
    path = app.directory / "socket"
    with app.serve("--workers", "2", "--unix", str(path)) as program:
        assert program.said == [f"listening on ws+unix:{path}\n"]
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(str(path))
        peer = net.adopt(connected).upgrade()
        peer.send(text("local"))
        peer.expect((TEXT, b"local"))
        peer.close()
        assert program.end()[0] == 0
    assert not path.exists()


# --- TLS ---


def serial_number(port: int, trusted: str) -> str:
    """Of the certificate that the server shows; it is verified."""
    context = ssl.create_default_context(cafile=trusted)
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            shown = secure.getpeercert()
            assert shown is not None
            return str(shown["serialNumber"])


def test_a_restart_brings_the_new_certificate(net: Net, app: App) -> None:
    certificates = pytest.importorskip("certificates", reason="trustme is not installed")
    authority = certificates.authority()
    served = [app.directory / "chain", app.directory / "key"]

    def renew() -> None:
        for target, made in zip(served, authority.issue(), strict=True):
            target.write_bytes(Path(made).read_bytes())

    renew()
    files = ["--certificate", str(served[0]), "--key", str(served[1])]
    with app.serve("--workers", "2", *files) as program:
        found = re.fullmatch(r"listening on wss://127\.0\.0\.1:(\d+)/\n", program.said[0])
        assert found
        port, trusted = int(found[1]), str(authority.file)
        before = serial_number(port, trusted)
        renew()
        assert serial_number(port, trusted) == before
        workers = set(program.workers())
        program.process.send_signal(signal.SIGHUP)
        net.poll(lambda: not workers & set(program.workers()))
        assert serial_number(port, trusted) != before
        assert program.end()[0] == 0


def test_a_certificate_that_is_not_there_is_a_line_and_1(app: App) -> None:
    program = app.serve("--certificate", str(app.directory / "absent"), "--workers", "2")
    out, err = program.finish()
    assert (program.process.returncode, out) == (1, "")
    assert "absent" in err and "Traceback" not in err


# --- a service manager ---------------------------------------------------------------------------


class Manager:
    """What systemd does: holds the socket, starts the service with it, hears how it is."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listening.getsockname()[1]
        self.news = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.news.settimeout(20)
        self.address = str(app.directory / "notify")
        self.news.bind(self.address)

    def start(self, *arguments: str) -> Program:
        fd = self.listening.fileno()
        return self.app.serve(
            *arguments,
            launcher=[sys.executable, "-c", ACTIVATE, str(fd)],
            pass_fds=[fd],
            env={"NOTIFY_SOCKET": self.address},
        )

    def hear(self) -> str:
        return self.news.recv(200).decode()

    def close(self) -> None:
        self.listening.close()
        self.news.close()


@pytest.fixture
def manager(app: App) -> Iterator[Manager]:
    made = Manager(app)
    yield made
    made.close()


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_socket_activation_and_news(net: Net, manager: Manager, workers: tuple[str, ...]) -> None:
    with manager.start(*workers) as program:
        assert manager.hear() == "READY=1"
        assert program.port == manager.port
        assert ask(net, program, "hello") == "hello"
        if workers:
            program.process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.hear())
            assert manager.hear() == "READY=1"
        program.process.send_signal(signal.SIGTERM)
        assert manager.hear() == "STOPPING=1"
        program.finish()
        assert program.process.returncode == 0


def test_a_whole_restart_by_the_manager_refuses_nobody(net: Net, manager: Manager) -> None:
    """The service ends and another one starts: what connects in between waits in the kernel."""
    storm = Storm(net, manager.port)
    for _ in range(2):
        with manager.start() as program:
            manager.hear()
            storm.until(100)
            program.process.send_signal(signal.SIGTERM)
            net.poll(lambda program=program: storm.step() and program.process.poll() is not None)
            assert program.process.returncode == 0
    with manager.start():
        storm.until(50)
        storm.end()
    assert storm.answers.keys() == {"101"}, storm.answers
