"""wsfast.loadgen.pacer: wakes its selector when it is armed, and not before."""

from __future__ import annotations

import sys
import time

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the pacer is a timerfd", allow_module_level=True)
pytest.importorskip("numpy")

from wsfast.loadgen.echoing import EchoEngine
from wsfast.loadgen.pacer import Pacer
from wsfast.loadgen.plan import Plan
from wsfast.loop import Loop
from wsfast.selector import EpollSelector

#: Of 200 messages a second; and the longest time that the loop polls in front of one.
GAP_NS = 5_000_000
POLLED_NS = 250_000

#: As many messages leave in one turn at most.
BURST = 256


def test_one_that_is_not_armed_wakes_nobody():
    selector = EpollSelector()
    pacer = Pacer(selector)
    start = time.monotonic()
    assert selector.select(0.05) == []
    assert time.monotonic() - start >= 0.049
    pacer.close()
    pacer.close()
    selector.close()


def test_it_ends_a_wait_at_the_time_that_was_set():
    selector = EpollSelector()
    pacer = Pacer(selector)
    due = time.monotonic_ns() + 20_000_000
    pacer.wake_at(due + 10**12)
    pacer.wake_at(due)
    assert selector.select(500) == []
    assert due <= time.monotonic_ns() < due + 400_000_000_000
    pacer.wake_at(1)
    assert selector.select(10) == []
    pacer.wake_at(due)
    pacer.wake_at(0)
    start = time.monotonic()
    assert selector.select(0.05) == []
    assert time.monotonic() - start >= 0.049
    pacer.close()
    selector.close()


def test_an_early_one_has_the_loop_poll_until_its_time():
    selector = EpollSelector()
    pacer = Pacer(selector, early_ns=10**12)
    due = time.monotonic_ns() + 500_000_000_000
    pacer.wake_at(due)
    for _ in range(3):
        assert selector.select(500) == []
    assert time.monotonic_ns() < due, "it did not sleep until then"
    due = time.monotonic_ns() + 20_000_000
    pacer.wake_at(due)
    while time.monotonic_ns() < due:
        assert selector.select(500) == []
    assert selector.select(0) == []
    start = time.monotonic()
    assert selector.select(0.05) == [], "its time has come once"
    assert time.monotonic() - start >= 0.049
    pacer.close()
    selector.close()


def test_a_closed_one_leaves_the_selector():
    selector = EpollSelector()
    before = len(selector.get_map())
    pacer = Pacer(selector)
    assert pacer.fd >= 0
    pacer.close()
    assert pacer.fd == -1
    assert len(selector.get_map()) == before
    selector.close()


def test_one_that_is_dropped_gives_its_descriptor_back():
    """The fixture that looks for descriptors left behind is the judge."""
    selector = EpollSelector()
    Pacer(selector)
    selector.close()


def test_an_engine_is_woken_when_a_message_is_due():
    """Without an open connection every message of the schedule is counted as not sent."""
    loop = Loop(EpollSelector())
    plan = Plan(
        url="ws://127.0.0.1:9/",
        address="127.0.0.1",
        port=9,
        connections=1,
        rate=200.0,
        seconds=60.0,
    )
    engine = EchoEngine(loop, plan)
    start = time.monotonic_ns()
    end = engine.begin(start)
    needless, now = 0, start
    while now < start + 100_000_000:
        now, before = time.monotonic_ns(), engine.counts()["backlog"]
        asleep = GAP_NS - (now - start) % GAP_NS > POLLED_NS  # not yet where it polls
        loop.selector.select(30)
        woken = time.monotonic_ns()
        backlog = engine.counts()["backlog"]
        most = before + BURST  # after a long pause the rest is for the next turn
        assert min(most, (now - start) // GAP_NS) <= backlog <= (woken - start) // GAP_NS + 1
        needless += asleep and woken - now < POLLED_NS and backlog == before
    assert end - start == 60_000_000_000
    assert needless <= 10, "it woke up without need"
    engine.end(time.monotonic_ns())
    loop.close()
