"""wsfast.loadgen.engine against servers that lie: every fault is counted once, by its kind."""

from __future__ import annotations

import gc
import os
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("websockets")
worker = pytest.importorskip("wsfast.loadgen.worker")

from lying_servers import (  # noqa: E402
    Breaks,
    ChangesOpcode,
    Closes,
    Corrupts,
    Drops,
    Duplicates,
    Forges,
    Fragments,
    Greets,
    HangsUp,
    Ignores,
    Keeps,
    Leaves,
    Refuses,
    Resets,
    Server,
    Shortens,
    Waits,
    measure,
    plan_for,
    run_session,
    silent_port,
)
from wsfast.loadgen.channel import LineReader  # noqa: E402


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("size", [0, 1, 5, 8, 20, 126, 70_000])
def test_an_honest_server(size, text):
    results = measure(Server(), size=size, text=text, messages=150)
    assert results.counts["sent"] == results.counts["measured"] == 150
    assert not results.server_errors
    assert not results.generator_errors
    assert 0 < results.latency.minimum <= results.latency.maximum
    assert results.window_seconds > 0


@pytest.mark.parametrize("in_flight", [1, 2, 3, 64])
def test_messages_in_flight(in_flight):
    results = measure(Server(), in_flight=in_flight, messages=300)
    assert results.counts["received"] == 300
    assert not results.server_errors


def test_a_window_in_time():
    results = measure(Server(), messages=None, seconds=0.5)
    assert results.window_seconds == pytest.approx(0.5)
    assert results.counts["received"] >= 12
    late = results.counts["received"] - results.counts["measured"]
    assert late <= 12, "only what was under way at its end came behind it"
    assert not results.server_errors


def test_sources_are_spread_over_loopback():
    seen = set()

    class Notes(Server):
        def open(self, protocol, request, writer):
            seen.add(writer.get_extra_info("peername")[0])
            super().open(protocol, request, writer)

    measure(Notes(), sources=("127.0.0.2", "127.0.0.3"), first=14_999, messages=30)
    assert seen == {"127.0.0.2", "127.0.0.3"}


def test_answers_in_fragments_are_answers():
    results = measure(Fragments())
    assert results.counts["received"] == 400
    assert not results.server_errors


@pytest.mark.parametrize("in_flight", [1, 5])
def test_the_latency_is_that_of_the_server(in_flight):
    """Five messages wait 50 ms at the same time: none of them waits for another."""
    server = Waits()
    results = measure(server, connections=1, in_flight=in_flight, messages=5 * in_flight)
    assert results.latency.minimum >= 50_000_000
    assert 0.25 <= results.window_seconds
    assert server.most == in_flight


def test_dropped_messages_are_lost():
    """On one connection the answer to the next message shows each of them."""
    results = measure(Drops(), connections=1)
    counts = results.counts
    assert counts["sent"] == 400
    assert (counts["lost"], counts["unanswered"]) == (40, 0)
    assert results.server_errors == {"lost": 40}


@pytest.mark.parametrize("in_flight", [1, 4])
def test_duplicates(in_flight):
    results = measure(Duplicates(), in_flight=in_flight)
    assert results.counts["received"] == 400
    assert 37 <= results.server_errors["duplicate"] <= 40
    assert set(results.server_errors) == {"duplicate"}


@pytest.mark.parametrize("server", [Corrupts, Shortens, ChangesOpcode])
def test_wrong_content(server):
    results = measure(server())
    assert results.counts["received"] == 400
    expected = 400 if server is ChangesOpcode else 40
    assert results.server_errors == {"mismatch": expected}


def test_what_nobody_asked_for():
    results = measure(Greets())
    assert results.counts["received"] == 400
    assert results.server_errors == {"unexpected": 3}


def test_unanswered_messages():
    server = Keeps()
    results = measure(server, drain_seconds=0.2, until=lambda: server.came == 12)
    assert results.counts["sent"] == 12
    assert results.server_errors == {"unanswered": 12}


@pytest.mark.parametrize(
    ("server", "kind"),
    [(Closes, "closed_1001"), (Leaves, "closed_1006"), (Breaks, "violation_1002")],
)
def test_connections_that_end(server, kind):
    results = measure(server())
    assert results.counts["opened"] == 3
    assert results.server_errors[kind] == 3
    assert results.server_errors["unanswered"] == results.counts["sent"] == 12


def test_connections_that_are_reset():
    results = measure(Resets())
    assert results.server_errors["reset"] + results.server_errors["closed_1006"] == 3
    assert results.server_errors["reset"] >= 1


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        (Refuses, "handshake_403"),
        (Forges, "handshake"),
        (HangsUp, "handshake_closed"),
        (Ignores, "timeout"),
    ],
)
def test_handshakes_that_fail(server, kind):
    results = measure(server(), connect_seconds=0.3 if server is Ignores else 30.0)
    assert results.failed == 3
    assert results.server_errors == {kind: 3}
    assert results.counts["sent"] == 0


def test_nobody_listens():
    with silent_port() as port:
        _, results = run_session(plan_for(port=port, connections=5, messages=10))
    assert results.server_errors == {"refused": 5}
    assert results.failed == 5


def test_no_source_address_is_our_own_fault():
    plan = plan_for(connections=2, messages=10, sources=("192.0.2.1",))
    _, results = run_session(plan)
    assert results.generator_errors == {"addresses_exhausted": 2}
    assert not results.server_errors


def test_the_end_of_the_command_pipe_stops_a_worker():
    """A worker whose coordinator is gone ends in any phase."""
    commands_out, commands_in = os.pipe()
    reports_out, reports_in = os.pipe()
    os.close(commands_in)
    try:
        session = worker.Session(
            plan_for(connections=1000, connect_rate=1.0), LineReader(commands_out), reports_in
        )
        session.run()
        assert session.stopped
    finally:
        gc.unfreeze()
        for fd in (commands_out, reports_out, reports_in):
            os.close(fd)
