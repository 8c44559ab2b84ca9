"""wsfast.loadgen.coordinator: workers begin together, are merged, and never stay behind."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("hdrh")
pytest.importorskip("numpy")
coordinator = pytest.importorskip("wsfast.loadgen.coordinator")
pytest.importorskip("wsfast.loadgen.engine")

from wsfast.loadgen.cpu import cpu_seconds  # noqa: E402
from wsfast.loadgen.embedded import EchoServer  # noqa: E402
from wsfast.loadgen.plan import Plan, split  # noqa: E402


@pytest.fixture(scope="module")
def server():
    """The echo server of wsfast."""
    with EchoServer(200) as running:
        yield running


def plan_for(server, **fields):
    port = int(server.url.rstrip("/").rpartition(":")[2])
    return Plan(url=server.url, address="127.0.0.1", port=port, **fields)


def coordinator_for(plan, workers=2, **options):
    settings = plan.to_dict()
    return coordinator.Coordinator(split(plan, workers), settings=settings, **options)


def test_three_workers_are_one_run(server):
    plan = plan_for(server, connections=10, messages=1000, in_flight=3)
    results = coordinator_for(plan, 3).run()
    assert results.counts["opened"] == 10
    assert results.counts["sent"] == results.counts["received"] == 1000
    assert results.latency.total == 1000
    assert results.handshake.total == 10
    assert sorted(worker.connections for worker in results.workers) == [3, 3, 4]
    assert len({worker.pid for worker in results.workers}) == 3
    assert not results.server_errors
    assert not results.interrupted


def test_the_cpu_time_of_the_target(server):
    plan = plan_for(server, connections=20, messages=20_000, in_flight=16)
    before = cpu_seconds(server.pid)
    results = coordinator_for(plan, 1, target_pid=server.pid).run()
    assert 0.0 < results.target_cpu_seconds <= cpu_seconds(server.pid) - before
    assert results.messages_per_target_cpu_second > 1000
    assert results.target_after.processes >= 1
    assert results.target_after.rss_bytes > 1 << 20
    assert results.target_grown_bytes is not None


def test_the_cpu_time_of_the_target_for_who_hears_of_it_late(server):
    """All that the worker has to say is there at once."""
    run = coordinator_for(plan_for(server, connections=2, messages=2000), 1, target_pid=server.pid)

    def look_late(now, state):
        if run._started:
            os.waitid(os.P_PID, run._workers[0].process.pid, os.WEXITED | os.WNOWAIT)

    run._on_progress = look_late
    assert run.run().target_cpu_seconds > 0.0


def test_a_target_that_is_gone(server):
    plan = plan_for(server, connections=1, messages=10)
    results = coordinator_for(plan, 1, target_pid=2**22 + 1).run()
    assert results.target_cpu_seconds is None
    assert results.counts["received"] == 10


def test_progress(server):
    states = []
    plan = plan_for(server, connections=4, messages=40, think_seconds=0.05)
    coordinator_for(plan, on_progress=lambda now, state: states.append((now, state))).run()
    times = [now for now, _ in states]
    assert times == sorted(times)
    assert all(state["asked"] == 4 for _, state in states)
    received = [state["received"] for _, state in states]
    assert received == sorted(received)
    assert received[-1] == 40


def signal_when(condition, number=signal.SIGINT):
    """A progress callback that sends this process a signal, once, when the condition holds."""
    sent = []

    def on_progress(now, state):
        if condition(state) and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    return on_progress


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_run_with_results(server, number):
    before = signal.getsignal(number)
    plan = plan_for(server, connections=4, seconds=600.0, drain_seconds=60.0)
    callback = signal_when(lambda state: state["received"] > 0, number)
    results = coordinator_for(plan, on_progress=callback).run()
    assert results.interrupted
    assert results.counts["received"] > 0
    assert results.counts["unanswered"] == 0
    assert 0 < results.window_seconds < 60
    assert signal.getsignal(number) is before


def test_an_interrupt_while_connecting(server):
    plan = plan_for(server, connections=200, connect_rate=2.0, seconds=600.0)
    callback = signal_when(lambda state: state["opened"] > 0)
    results = coordinator_for(plan, on_progress=callback).run()
    assert results.interrupted
    assert 0 < results.counts["opened"] < 200
    assert results.counts["sent"] == 0
    assert not results.server_errors


def test_a_second_interrupt_gives_the_workers_up(server):
    plan = plan_for(server, connections=2, seconds=600.0)

    def twice(now, state):
        if state["received"]:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="twice"):
        coordinator_for(plan, on_progress=twice).run()


def test_a_worker_that_dies(server):
    plan = plan_for(server, connections=2, seconds=600.0)
    run = coordinator_for(plan)

    def kill_one(now, state):
        if state["received"]:
            run._workers[0].process.kill()

    run._on_progress = kill_one
    with pytest.raises(coordinator.CouldNotRun, match="status -9"):
        run.run()
    assert all(worker.process.returncode is not None for worker in run._workers)


def test_a_worker_that_hangs(server, monkeypatch):
    monkeypatch.setattr(coordinator, "SLACK_SECONDS", -1e6)
    plan = plan_for(server, connections=2, seconds=600.0)
    with pytest.raises(coordinator.CouldNotRun, match="in time"):
        coordinator_for(plan).run()


def test_it_runs_in_the_main_thread_only(server):
    """Signals can be handled nowhere else, which the caller is told before anything starts."""
    raised = []

    def run():
        try:
            coordinator_for(plan_for(server, connections=1, messages=1)).run()
        except ValueError as error:
            raised.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert "main thread" in raised[0]
