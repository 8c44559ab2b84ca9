"""The supervisor: replaces who dies, restarts without a loss, gives up with a clear word."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from programs import Program, is_running
from sockets import Net, network, text
from wire import TEXT
from wsfast.supervisor import Supervisor, backoff_seconds

#: A supervised echo server; `plan` says what its workers do, anew for each of them.
SCRIPT = """
import logging, os, pathlib, signal, sys, time
import wsfast.supervisor
from wsfast.limits import Limits
from wsfast.listening import address_url, listen_for_workers
from wsfast.server import Server
from wsfast.supervisor import Supervisor

here = pathlib.Path(__file__).parent
wsfast.supervisor._FIRST_BACKOFF_SECONDS = 0.01
wsfast.supervisor._YOUNG_SECONDS = 600.0  # on a busy machine a start takes a while
wsfast.supervisor._MOST_FAILURES = 4
wsfast.supervisor._CUT_SECONDS = 60.0  # so does an end

class Echo:
    def on_message(self, ws, message):
        ws.send({"pid": str(os.getpid()), "mark": mark}.get(message, message))

mark = "-"

def work(worker):
    plan = (here / "plan").read_text().split()
    if "fail" in plan:
        raise SystemExit("no such database")
    if "hang" in plan:
        time.sleep(60)
    globals()["mark"] = (here / "mark").read_text()
    signal.signal(signal.SIGUSR1, lambda *_: (here / f"usr1.{os.getpid()}").touch())
    server = Server(Echo(), sockets=worker.sockets, limits=Limits(closing_seconds=30))
    if "die" in plan:
        server.loop.selector.call_later(0, os.abort)
    worker.serve(server, **({"limit_seconds": 60} if "slow" in plan else {"limit_seconds": 0.2}))
    server.loop.close()

logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
count, shared = int(sys.argv[1]), "shared" in sys.argv
sockets = listen_for_workers(count, "127.0.0.1", 0, shared=shared)
url = address_url(sockets[0][0].getsockname())
states = []
supervisor = Supervisor(
    work, sockets, start_seconds=float(sys.argv[2]), stop_seconds=float(sys.argv[3]),
    on_ready=lambda: print("listening on", url, flush=True), notify=states.append,
)
status = supervisor.run()
print(states)
sys.exit(status)
"""


class Supervised:
    """Starts the script; the files beside it are what its workers read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "supervised.py").write_text(SCRIPT)
        self.plan("")
        self.mark("one")

    def plan(self, plan: str) -> None:
        (self.directory / "plan").write_text(plan)

    def mark(self, mark: str) -> None:
        (self.directory / "mark").write_text(mark)

    def start(
        self, workers: int = 2, *options: str, start: float = 30, stop: float = 10
    ) -> Program:
        path = f"{self.directory}:{os.environ.get('PYTHONPATH', '')}"
        arguments = (str(workers), str(start), str(stop), *options)
        return Program("supervised", *arguments, env={"PYTHONPATH": path})


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


@pytest.fixture
def supervised(tmp_path: Path) -> Supervised:
    return Supervised(tmp_path)


def ask(net: Net, program: Program, question: str) -> str:
    """What a worker answers on a connection of its own."""
    peer = program.connect(net)
    peer.send(text(question))
    net.until(lambda: peer.frames)
    opcode, payload = peer.frames[0]
    assert opcode == TEXT
    peer.close()
    return payload.decode()


def hear(program: Program, words: str) -> str:
    """Wait until its log says `words`, which is when it has done so; what it has said since."""
    assert program.process.stderr is not None
    heard = ""
    while words not in heard:
        line = program.process.stderr.readline()
        assert line, heard
        heard += line
    return heard


def said(program: Program) -> tuple[int, list[str], str]:
    """Its end: status, what the service manager was told, and its log."""
    out, err = program.finish()
    states = out.strip().splitlines()[-1] if out.strip() else "[]"
    return program.process.returncode, states.strip("[]").split(", "), err


# --- from start to end ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("shared",)])
def test_workers_start_serve_and_end(
    net: Net, supervised: Supervised, options: tuple[str, ...]
) -> None:
    with supervised.start(2, *options) as program:
        workers = program.workers()
        assert len(workers) == 2
        assert {int(ask(net, program, "pid")) for _ in range(16)} <= set(workers)
        open_one = program.connect(net)
        program.process.send_signal(signal.SIGTERM)
        net.until(lambda: open_one.ended)
        assert open_one.frames[0][1][:2] == b"\x03\xe9"
        status, states, err = said(program)
        assert (status, states) == (0, ["'READY=1'", "'STOPPING=1'"])
        assert "ERROR" not in err
        assert not any(is_running(worker) for worker in workers)


def test_a_second_signal_ends_at_once(net: Net, supervised: Supervised) -> None:
    """Told twice: the workers cut a peer that would have had a minute."""
    supervised.plan("slow")
    with supervised.start(1, stop=60) as program:
        peer = program.connect(net)
        program.process.send_signal(signal.SIGINT)
        net.until(lambda: peer.frames)
        assert not peer.ended
        program.process.send_signal(signal.SIGINT)
        net.until(lambda: peer.ended)
        assert said(program)[0] == 0


def test_a_worker_that_does_not_end_is_killed(net: Net, supervised: Supervised) -> None:
    supervised.plan("slow")
    with supervised.start(1, stop=0.3) as program:
        program.connect(net)
        [worker] = program.workers()
        program.process.send_signal(signal.SIGTERM)
        status, _, err = said(program)
        assert status == 1
        assert f"worker {worker} has not ended in time: it is killed" in err


def test_workers_end_when_the_supervisor_is_killed(net: Net, supervised: Supervised) -> None:
    with supervised.start(2) as program:
        workers = program.workers()
        peer = program.connect(net)
        program.process.kill()
        net.until(lambda: peer.ended)
        assert peer.frames[0][1][:2] == b"\x03\xe9", "drained, as after SIGTERM"
        net.poll(lambda: not any(is_running(worker) for worker in workers))


def test_other_signals_are_passed_on(net: Net, supervised: Supervised, tmp_path: Path) -> None:
    with supervised.start(2) as program:
        workers = program.workers()
        program.process.send_signal(signal.SIGUSR2)  # ignored by them, as they have no handler
        program.process.send_signal(signal.SIGUSR1)
        net.poll(lambda: all((tmp_path / f"usr1.{worker}").exists() for worker in workers))
        assert program.workers() == workers


# --- workers that die ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("shared",)])
def test_a_killed_worker_is_replaced_while_the_others_serve(
    net: Net, supervised: Supervised, options: tuple[str, ...]
) -> None:
    with supervised.start(2, *options) as program:
        for _ in range(3):
            victim, other = program.workers()
            os.kill(victim, signal.SIGKILL)
            answers = {int(ask(net, program, "pid")) for _ in range(16)}
            assert victim not in answers, "not one question was lost"
            net.poll(lambda victim=victim: len(set(program.workers()) - {victim}) == 2)
            assert other in program.workers()
        status, _, err = program.end()
        assert status == 0
        assert err.count("was killed by SIGKILL; another one starts in ") == 3


def limit_descriptors(program: Program, soft: int, hard: int) -> None:
    resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_where_none_can_be_started_the_others_serve_on(net: Net, supervised: Supervised) -> None:
    """No descriptor, no process: neither the end of everything, nor deaf to signals."""
    script = supervised.directory / "supervised.py"
    script.write_text(SCRIPT.replace("_MOST_FAILURES = 4", "_MOST_FAILURES = 10**6"))
    with supervised.start(2) as program:
        victim, other = program.workers()
        limits = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        limit_descriptors(program, 3, limits[1])
        program.process.send_signal(signal.SIGHUP)
        hear(program, "the new worker cannot be started (Too many open files)")
        os.kill(victim, signal.SIGKILL)
        hear(program, "no worker can be started (Too many open files)")
        assert program.workers() == [other]
        limit_descriptors(program, *limits)
        net.poll(lambda: len(program.workers()) == 2)
        assert {int(ask(net, program, "pid")) for _ in range(16)} <= set(program.workers())
        assert program.end()[0] == 0


def test_a_restart_is_given_up_where_none_can_be_started(net: Net, supervised: Supervised) -> None:
    with supervised.start(1) as program:
        [worker] = program.workers()
        limits = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        limit_descriptors(program, 3, limits[1])
        program.process.send_signal(signal.SIGHUP)
        hear(program, "the new worker cannot be started (Too many open files): the restart is")
        assert int(ask(net, program, "pid")) == worker
        program.process.send_signal(signal.SIGTERM)
        status, states, _ = said(program)
        assert status == 0 and states[-2:] == ["'READY=1'", "'STOPPING=1'"]


def test_those_that_die_young_again_and_again_are_given_up(
    net: Net, supervised: Supervised
) -> None:
    with supervised.start(2) as program:
        supervised.plan("die")
        os.kill(program.workers()[0], signal.SIGKILL)
        status, states, err = said(program)
        assert status == 1 and states[-1] == "'STOPPING=1'"
        assert err.count("was killed by SIGABRT") == 3
        assert "was killed by SIGABRT, again and again: giving up" in err


def test_while_nobody_listens_in_one_place_the_others_get_all(
    net: Net, supervised: Supervised
) -> None:
    """The kernel must not queue connections for a worker that comes seconds later."""
    script = supervised.directory / "supervised.py"
    longest = "wsfast.supervisor._LONGEST_BACKOFF_SECONDS"
    script.write_text(SCRIPT.replace("_SECONDS = 0.01", f"_SECONDS = {longest} = 3600"))
    with supervised.start(2) as program:
        first, second = program.workers()
        supervised.plan("die")
        os.kill(first, signal.SIGKILL)
        hear(program, "was killed by SIGABRT; another one starts in")
        assert program.workers() == [second]
        assert {int(ask(net, program, "pid")) for _ in range(32)} == {second}
        assert program.end()[0] == 0


def test_one_that_fails_at_the_start_ends_everything(supervised: Supervised) -> None:
    supervised.plan("fail")
    program = supervised.start(2)
    status, states, err = said(program)
    assert (status, states) == (1, ["'STOPPING=1'"])
    assert "ended with status 1, before all were ready: giving up" in err


def test_one_that_does_not_get_ready_is_killed(supervised: Supervised) -> None:
    supervised.plan("hang")
    status, _, err = said(supervised.start(1, start=0.3))
    assert status == 1
    assert "is not ready in time: it is killed" in err and "giving up" in err


# --- restart -------------------------------------------------------------------------------------


def test_sighup_restarts_every_worker_with_what_the_files_say_now(
    net: Net, supervised: Supervised
) -> None:
    with supervised.start(2) as program:
        before = set(program.workers())
        peers = [program.connect(net) for _ in range(8)]
        assert ask(net, program, "mark") == "one"
        supervised.mark("two")
        program.process.send_signal(signal.SIGHUP)
        net.until(lambda: all(peer.ended for peer in peers))
        assert {peer.frames[0][1] for peer in peers} == {b"\x03\xf4service restart"}
        net.poll(lambda: len(program.workers()) == 2 and not before & set(program.workers()))
        assert {ask(net, program, "mark") for _ in range(8)} == {"two"}
        program.process.send_signal(signal.SIGTERM)
        status, states, err = said(program)
        assert status == 0 and "ERROR" not in err
        assert [each.partition("\\n")[0].strip("'") for each in states] == [
            *("READY=1", "RELOADING=1", "READY=1", "STOPPING=1"),
        ]


def test_a_restart_that_fails_leaves_the_old_ones(net: Net, supervised: Supervised) -> None:
    with supervised.start(2) as program:
        before = program.workers()
        supervised.plan("fail")
        program.process.send_signal(signal.SIGHUP)
        hear(program, "the restart is given up, the old ones serve on")
        assert program.workers() == before
        assert ask(net, program, "mark") == "one"
        assert program.end()[0] == 0


def test_restarts_one_upon_the_other(net: Net, supervised: Supervised) -> None:
    with supervised.start(3) as program:
        before = set(program.workers())
        for mark in ("two", "three", "four"):
            supervised.mark(mark)
            program.process.send_signal(signal.SIGHUP)
            hear(program, "restarting")
        hear(program, "restarted")  # the last of them: who asks before may be told to leave
        net.poll(lambda: len(program.workers()) == 3)
        assert not before & set(program.workers())
        assert {ask(net, program, "mark") for _ in range(12)} == {"four"}
        assert program.end()[0] == 0


# --- numbers and misuse --------------------------------------------------------------------------


def test_the_wait_doubles_and_varies_and_has_a_limit() -> None:
    assert backoff_seconds(0) == backoff_seconds(1) == 0
    for failures, longest in ((2, 0.25), (3, 0.5), (4, 1.0), (8, 15.0), (5000, 15.0)):
        drawn = [backoff_seconds(failures) for _ in range(200)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
        assert max(drawn) - min(drawn) > longest / 4


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "at least one"),
        (1, {"start_seconds": 0}, "start_seconds 0 and stop_seconds 30.0 must be above 0"),
        (1, {"stop_seconds": float("nan")}, "stop_seconds nan"),
    ],
)
def test_misuse_raises_at_construction(count: int, options: dict[str, Any], message: str) -> None:
    with socket.socket() as one, pytest.raises(ValueError, match=message):
        Supervisor(lambda worker: None, [[one]] * count, **options)


def test_a_worker_without_a_socket_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a socket"):
        Supervisor(lambda worker: None, [[]])
