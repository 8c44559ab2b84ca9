"""wsfast.loadgen.scheduled: who sends, and when; answers are in test_loadgen_echoing.py."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("websockets")
pytest.importorskip("wsfast.loadgen.worker")

from lying_servers import Server, measure, plan_for
from wsfast.loadgen.echoing import EchoEngine
from wsfast.loop import Loop

LOAD = {"messages": None, "in_flight": 1}


class Counts(Server):
    """Remembers how many messages came over each connection."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def answer(self, protocol, frame, writer):
        self.counts[writer] = self.counts.get(writer, 0) + 1
        super().answer(protocol, frame, writer)


def test_connections_send_in_turn():
    server = Counts()
    measure(server, connections=7, rate=700.0, seconds=0.3, **LOAD)
    assert sorted(server.counts.values()) == [30] * 7


def test_connections_send_in_turn_behind_a_burst():
    """So many are due at once that some get two: the next ones go on with those that got one."""
    server = Counts()
    measure(server, connections=7, rate=21_000.0, seconds=0.1, **LOAD)
    assert sorted(server.counts.values()) == [300] * 7


def test_more_messages_than_connections_leave_in_one_turn():
    results = measure(Server(), connections=1, rate=20_000.0, seconds=0.2, **LOAD)
    assert results.counts["sent"] == results.counts["received"] == 4000
    assert results.counts["backlog"] == 0


def test_a_count_of_messages_ends_a_schedule():
    results = measure(Server(), in_flight=1, rate=1000.0, messages=50)
    assert results.counts["sent"] == results.counts["received"] == 50
    assert results.window_seconds < 60.0, "not the minute of the plan"


def test_what_was_due_at_the_end_still_leaves():
    """However late the end is seen: no message of the schedule is forgotten."""
    loop = Loop()
    engine = EchoEngine(loop, plan_for(connections=1, rate=100.0, seconds=1.0))
    engine.begin(0)
    engine.end(1_000_000_000)
    counts = engine.counts()
    assert counts["backlog"] == 100, "nobody was there to send them, but all were looked at"
    assert counts["sent"] == 0
    loop.close()


def test_a_schedule_out_of_range():
    loop = Loop()
    with pytest.raises(ValueError, match="0 or more"):
        EchoEngine(loop, plan_for(connections=1, rate=-5.0))
    loop.close()
