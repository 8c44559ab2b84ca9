"""bench/speedups.py: every library echoes, is patched and put back, and is told about."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import itertools
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("it reads the CPU time of other processes", allow_module_level=True)
pytest.importorskip("wsfast.speedups")

import wsfast.rfc6455  # noqa: E402
from wsfast.loadgen.cpu import family_of  # noqa: E402
from wsfast.loadgen.embedded import EchoServer  # noqa: E402
from wsfast.speedups.registry import LIBRARIES  # noqa: E402

BENCH = Path(__file__).resolve().parents[2] / "bench"
APPS = BENCH / "speedups_apps"
sys.path.append(str(BENCH))

from speedups_apps.cases import CASES, Case  # noqa: E402
from speedups_apps.driver import (  # noqa: E402
    Failed,
    NotStarted,
    Process,
    client_window,
    server_window,
    settled,
)
from speedups_apps.job import Job, content  # noqa: E402
from speedups_apps.peer import Deflate, Peer  # noqa: E402

TORNADO = next(case for case in CASES if case.library == "tornado" and not case.is_client)
CLIENT = next(case for case in CASES if case.library == "websocket-client")
BROKER = [sys.executable, str(APPS / "broker.py")]


def name(case: Case) -> str:
    return f"{case.library}-{case.name}".replace(", ", "-").replace(" ", "-")


def require(*libraries: str) -> None:
    """Skip by name where one of them is absent."""
    for each in libraries:
        try:
            importlib.metadata.version(each)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{each} is not installed")


@pytest.fixture(scope="module")
def echo():
    """wsfast-echo, which clients talk to."""
    with EchoServer(100) as server:
        yield server.url


@pytest.fixture(scope="module")
def broker():
    """The MQTT broker."""
    server = EchoServer(1, command=BROKER)
    with server:
        yield server.url


# --- the table of cases ----------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_case_names_a_function_and_a_library_that_is_sped_up(case):
    functions = ast.parse((APPS / f"{case.module}.py").read_text("utf-8")).body
    names = [
        node.name for node in functions if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert case.entry in names
    assert case.target in LIBRARIES


def test_every_module_and_every_library_has_a_case():
    modules = {path.stem for path in APPS.glob("*_echo.py")}
    assert {case.module for case in CASES} == modules
    assert {case.target for case in CASES} == set(LIBRARIES) - {"wsaccel"}
    assert len({name(case) for case in CASES}) == len(CASES)


# --- what is sent ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 1024, 65536, 1 << 20])
def test_content_has_the_size_and_is_the_same_everywhere(size):
    text, binary = content(size, True), content(size, False)
    assert isinstance(text, str) and text.isascii() and len(text) == size
    assert isinstance(binary, bytes) and len(binary) == size
    assert (text, binary) == (content(size, True), content(size, False))


def job(**fields) -> Job:
    return Job(**{"url": "", "size": 9, "text": True, "in_flight": 4, "seconds": 0.0, **fields})


def test_a_job_sends_batches_and_does_not_count_the_first():
    waiting, sent = [], []

    def send(message):
        waiting.append(message)
        sent.append(len(waiting))

    mine = job()
    mine.exchange(send, lambda: waiting.pop(0))
    assert sent == [1, 2, 3, 4] * 2
    result = mine.result()
    assert result["messages"] == 4
    assert result["cpu"] > 0


def test_a_job_goes_on_until_its_window_is_over(monkeypatch):
    """Its clock, here, goes on by 1/8 s with each batch."""
    clock = (number / 8 for number in itertools.count())
    module = importlib.import_module("speedups_apps.job")
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    waiting: list[str] = []
    mine = job(seconds=0.5)
    mine.exchange(waiting.append, waiting.pop)
    assert mine.result()["messages"] == 4 * 4


def test_a_job_by_callback():
    waiting: list[str] = []
    mine = job(in_flight=2)
    mine.begin(waiting.append)
    assert len(waiting) == 2
    assert [mine.answered(waiting.pop()) for _ in range(4)] == [True, True, True, False]
    assert mine.result()["messages"] == 2


@pytest.mark.parametrize("answer", ["", "123456789", b"123456789"])
def test_a_job_refuses_a_wrong_answer(answer):
    with pytest.raises(ValueError, match="an answer"):
        job().exchange(lambda message: None, lambda: answer)


def test_a_job_that_was_not_completed_has_no_result():
    with pytest.raises(ValueError, match="not completed"):
        job().result()


# --- the peer of servers ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
@pytest.mark.parametrize("text", [False, True])
def test_the_peer_exchanges(echo, size, text):
    with Peer(echo) as peer:
        peer.exchange(content(size, text), 1)
        peer.exchange(content(size, text), 3)


def test_the_peer_sends_and_reads_at_the_same_time(echo):
    """More than the buffers of both sockets hold."""
    with Peer(echo) as peer:
        peer.exchange(content(1 << 20, False), 32)


def test_the_peer_sees_a_wrong_echo(broker):
    with pytest.raises(OSError, match="an echo differs"), Peer(broker) as peer:
        peer.exchange(b"\x10", 1)


def test_the_peer_wants_the_compression_that_it_asks_for(echo):
    with pytest.raises(OSError, match="the server answers"):
        Peer(echo, deflate=True)


def test_the_peer_sees_that_the_server_has_gone():
    def hang_up():
        listener.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = threading.Thread(target=hang_up)
        closing.start()
        with pytest.raises(OSError):
            Peer(f"ws://127.0.0.1:{listener.getsockname()[1]}/")
        closing.join()


def test_deflate_keeps_its_context():
    ours, theirs = Deflate(), Deflate()
    first, second = (ours.encode(b"the same again" * 9, True) for _ in range(2))
    assert len(second) < len(first)
    for coded in (first, second):
        assert theirs.decode(coded, True, 1000) == b"the same again" * 9
    assert ours.accepts(1, 0)


# --- every library ---------------------------------------------------------------------------


def windows(case: Case, peer: str, process: Process) -> list[float]:
    """One short window of each kind of message."""
    kinds = [(125, False, 1), (125, case.text, 3), (70_000, case.text, 1), (70_000, False, 2)]
    if case.is_client:
        return [client_window(process, peer, *kind, seconds=0.0) for kind in kinds]
    return [server_window(process, *kind, seconds=0.0) for kind in kinds]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_library_echoes_as_it_comes_and_patched(case, echo, broker):
    require(case.library, case.target)
    peer = broker if case.broker else echo
    with Process(case, None) as process:
        assert all(figure > 0 for figure in windows(case, peer, process))
        for level in ("kernels", "frames"):
            try:
                process.patch(level)
            except Failed as failed:
                assert str(failed).startswith("skipped: "), failed
                continue
            assert all(figure > 0 for figure in windows(case, peer, process))
            process.patch("off")
            assert all(figure > 0 for figure in windows(case, peer, process))


# --- its process -----------------------------------------------------------------------------


def test_a_library_that_speedups_do_not_know():
    require("tornado")
    with Process(TORNADO._replace(patched="nobody"), None) as process:
        with pytest.raises(Failed, match="'nobody'"):
            process.patch("frames")
        assert process.patch("off") == ""
        assert server_window(process, 9, True, 1, 0.0) > 0


def test_a_server_takes_no_job():
    require("tornado")
    with Process(TORNADO, None) as process, pytest.raises(Failed, match="a server does not know"):
        process.ask(size=9)


def test_a_client_that_finds_nobody():
    require("websocket-client")
    with socket.socket() as probe, Process(CLIENT, None) as process:
        probe.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{probe.getsockname()[1]}/"
        with pytest.raises(Failed, match="ConnectionRefusedError"):
            client_window(process, url, 9, True, 1, 0.0)


def test_a_module_that_is_hidden_is_not_found():
    require("tornado")
    with pytest.raises(NotStarted, match="ended: ModuleNotFoundError: .*tornado"):
        Process(TORNADO._replace(hidden=("tornado",)), None)


def test_a_process_ends_with_its_driver():
    require("tornado")
    with Process(TORNADO, None) as process:
        assert process._process.stdin is not None
        process._process.stdin.close()
        assert process._process.wait(20) == 0
        process._process.stdin = None


def test_its_cpu_time_is_read_when_it_sleeps():
    require("tornado")
    with Process(TORNADO, None) as process:
        figures = [server_window(process, 9, True, 1, 0.0) for _ in range(50)]
    assert max(figures) < 100 * statistics.median(figures)


@pytest.mark.parametrize(
    ("above", "seen", "expected"),
    [
        (0.0, [1.0, 1.0], 1.0),
        (0.0, [1.0, 1.25, 1.5, 1.5], 1.5),
        (1.0, [1.0, 1.0, 1.0, 1.0, 1.5, 1.5], 1.5),
        (0.0, [1.0, 2.0, 3.0, 4.0], 4.0),
    ],
    ids=["sleeps", "works", "has not been seen to work", "never sleeps"],
)
def test_cpu_time_has_settled(monkeypatch, above, seen, expected):
    """One that answered has used some, whenever the kernel shows that."""
    driver = importlib.import_module("speedups_apps.driver")
    figures = iter(seen)
    monkeypatch.setattr(driver, "own_seconds", lambda pid: next(figures))
    monkeypatch.setattr(driver, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(driver, "SETTLE_TRIES", 3)
    assert settled(1, above) == expected
    assert list(figures) == []


def test_it_stays_on_its_cpu():
    require("tornado")
    cpu = max(os.sched_getaffinity(0))
    with Process(TORNADO, cpu) as process:
        assert os.sched_getaffinity(process.pid) == {cpu}


# --- the program -----------------------------------------------------------------------------


def start(*arguments: str) -> subprocess.Popen[str]:
    """bench/speedups.py as a process of its own; make asan hides what lies beside it."""
    build = Path(wsfast.rfc6455.__file__).parents[1]
    paths = [str(build), str(BENCH), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, str(BENCH / "speedups.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        # A shell that starts the tests in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def run(*arguments: str) -> tuple[int, str, str]:
    """The same to its end: exit status, output, errors."""
    with start(*arguments) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


SHORT = ("--sizes", "125,1k", "--in-flight", "1,2", "--rounds", "2", "--seconds", "0.01")


@pytest.fixture
def two_cpus():
    if not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("it needs the CPUs 0 and 1, one for each side")


def test_the_table(two_cpus):
    require("tornado")
    status, out, err = run("tornado", *SHORT)
    assert status == 0, err
    rows = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")]
    assert rows[0] == [
        *("library", "case", "message", "in flight"),
        *("msgs/CPU-s", "with wsfast", "ratio", "spread"),
    ]
    assert len(rows) == 1 + 2 * 8
    assert rows[1][:4] == ["tornado", "server", "125 B binary", "1"]
    assert rows[-1][:4] == ["tornado", "client", "1 KiB text", "2"]
    for row in rows[1:]:
        assert all(float(figure.replace(",", "")) > 0 for figure in row[4:7]), row
    assert f"tornado {importlib.metadata.version('tornado')}" in out


def test_off_against_off(two_cpus):
    """It needs no speedups, and tells how far two equal things seem to differ."""
    require("tornado")
    # A stall counts as CPU time where the machine is a guest: of many rounds it is no median.
    many = ("--sizes", "125", "--in-flight", "1,2", "--rounds", "21", "--seconds", "0.001")
    status, out, err = run("tornado", "--level", "off", "--case", "server", *many)
    assert (status, err) == (0, "")
    ratios = [float(line.split("|")[-3]) for line in out.splitlines() if "125 B" in line]
    assert len(ratios) == 4
    assert all(0.1 < each < 10 for each in ratios)


def test_json_holds_every_sample(two_cpus):
    require("tornado")
    status, out, err = run("tornado", "--case", "server", "--kinds", "text", "--json", *SHORT)
    assert status == 0, err
    results = json.loads(out)["results"]
    assert [(each["size"], each["in_flight"]) for each in results] == [
        *((125, 1), (125, 2)),
        *((1024, 1), (1024, 2)),
    ]
    for each in results:
        assert len(each["plain"]) == len(each["patched"]) == 2
        assert each["ratio"] > 0
        assert each["text"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_its_processes_too(two_cpus, number):
    require("websocket-client")
    with start("websocket-client", "--level", "off", *SHORT, "--rounds", "99999") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("|---"):
                break
        while len(family := family_of(process.pid)) < 3:
            assert process.poll() is None
        ends = [os.pidfd_open(pid) for pid in family[1:]]
        try:
            process.send_signal(number)
            process.communicate(timeout=60)
            # One that was just being started sees the end of its pipe a moment later.
            assert all(select.select([each], [], [], 20)[0] for each in ends)
        finally:
            for each in ends:
                os.close(each)
    assert process.returncode != 0


@pytest.mark.parametrize(
    "wrong", [["nobody"], ["--sizes", "big"], ["--level", "deep"], ["--kinds", "video"]]
)
def test_usage(wrong):
    assert run(*wrong)[0] == 2


def test_figures():
    speedups = importlib.import_module("speedups")
    figures = [1.234, 99.96, 123.4, 12_345.0, 987_654.0]
    assert [speedups.show_figure(each) for each in figures] == [
        *("1.23", "100", "123", "12,300", "988,000")
    ]
    ratios = [0.987, 1.0, 24.94, 345.6]
    assert [speedups.show_ratio(each) for each in ratios] == ["0.99", "1.00", "24.9", "346"]
    assert [speedups.show_size(each) for each in (125, 1024, 65536, 1 << 20)] == [
        *("125 B", "1 KiB", "64 KiB", "1 MiB")
    ]
    result = speedups.Result(TORNADO, speedups.Load(125, True, 1), [2.0, 4.0], [4.0, 12.0], "")
    assert result.ratio == (2.5, 1.5)
    assert speedups.line(result).endswith("| 125 B text | 1 | 3 | 8 | 2.50 | 1.50 |")
    alone = result._replace(plain=[2.0], patched=[3.0])
    assert alone.ratio == (1.5, 0.0)
    bare = result._replace(patched=[], note="refused: no")
    assert bare.ratio is None
    assert speedups.line(bare).endswith("| 3 | - | - | - |")
    assert speedups.describe(bare) == "tornado, server: refused: no"
    failed = bare._replace(plain=[])
    assert speedups.describe(failed) == "tornado, server, 125 B text, 1 in flight: refused: no"
