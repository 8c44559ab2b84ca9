"""wsfast.loadgen.faults: a server errs as it is told, no more and no less."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
client = pytest.importorskip("websockets.sync.client")
faults = pytest.importorskip("wsfast.loadgen.faults")


@contextlib.contextmanager
def serving(mode="echo", *, rate=10.0, **fields):
    """The URL of a faulty server that runs in a thread."""
    server = faults.FaultyServer(mode=mode, rate=rate, faults=faults.Faults(**fields))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield "ws://{}:{}/".format(*server.address)
    finally:
        server.stop()
        thread.join(10)


def connect(url):
    return client.connect(url, compression=None)


def answers(ws):
    """What comes up to the answer to a ping, which no fault touches."""
    found, answered = [], ws.ping()
    while True:
        last = answered.is_set()  # then all that came before it can be received
        try:
            found.append(ws.recv(timeout=0.01))
        except TimeoutError:
            if last:
                return found


def exchange(url, messages):
    """Send all of them; what comes."""
    with connect(url) as ws:
        for message in messages:
            ws.send(message)
        return answers(ws)


class Clock:
    """The server's clock; it goes on when the test says so, and hands each sleep to the test."""

    def __init__(self):
        self.now, self.slept = time.monotonic(), []
        self.asleep, self.awake = threading.Event(), threading.Event()

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.asleep.set()
        assert self.awake.wait(60)


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(faults, "time", found)
    return found


MESSAGES = [f"message {number}" for number in range(400)]


def test_an_honest_one():
    with serving() as url:
        assert exchange(url, MESSAGES) == MESSAGES
        assert exchange(url, [b"\x00\xff"]) == [b"\x00\xff"]


def test_dropped():
    with serving(drop=0.25) as url:
        found = exchange(url, MESSAGES)
    assert 50 < len(MESSAGES) - len(found) < 150
    assert found == [each for each in MESSAGES if each in set(found)], "in order"


def test_duplicated():
    with serving(duplicate=0.25) as url:
        found = exchange(url, MESSAGES)
    assert 50 < len(found) - len(MESSAGES) < 150
    assert list(dict.fromkeys(found)) == MESSAGES


def test_reordered():
    with serving(reorder=0.25) as url:
        found = exchange(url, [*MESSAGES, "last", "of all"])
    assert found != MESSAGES
    assert set(MESSAGES) <= set(found)
    for place, each in enumerate(found[:-2]):
        assert abs(MESSAGES.index(each) - place) <= 2, "one lets one pass"


@pytest.mark.parametrize("message", ["text", b"bytes"])
def test_corrupted(message):
    with serving(corrupt=1.0) as url:
        (found,) = exchange(url, [message])
    assert type(found) is type(message)
    assert found[:-1] == message[:-1]
    assert found != message


def test_foreign():
    with serving(foreign=1.0) as url:
        assert exchange(url, ["mine"]) == ["mine", "nobody asked for this"]


def test_the_same_seed_errs_the_same():
    found = []
    for seed in (1, 1, 2):
        with serving(drop=0.5, seed=seed) as url:
            found.append(exchange(url, MESSAGES[:50]))
    assert found[0] == found[1] != found[2]


def test_delayed():
    with serving(delays=[(0.05, 1.0)]) as url, connect(url) as ws:
        start = time.monotonic()
        ws.send("now")
        assert ws.recv(timeout=200) == "now"
        assert time.monotonic() - start >= 0.05


def test_delays_end_on_time(clock):
    with serving(delays=[(3600.0, 1.0)]) as url, connect(url) as ws:
        ws.send("late")
        assert answers(ws) == answers(ws) == []
        clock.now += 3599.0
        assert answers(ws) == answers(ws) == []
        clock.now += 1.0
        assert ws.recv(timeout=200) == "late"


def test_delays_by_weight(clock):
    with serving(delays=[(0.0, 3), (3600.0, 1)]) as url, connect(url) as ws:
        for message in MESSAGES[:100]:
            ws.send(message)
        early = answers(ws) + answers(ws)  # all have come; and a turn later
        assert 50 < len(early) < 95
        clock.now += 3600.0
        late = [ws.recv(timeout=200) for _ in range(100 - len(early))]
        assert sorted(early + late) == sorted(MESSAGES[:100])


def test_frozen(clock):
    """Once the freeze is due, an answer takes as long as is left of it."""
    with serving(stall_seconds=20.0, stall_every_seconds=300.0) as url, connect(url) as ws:
        ws.send("the first")
        assert ws.recv(timeout=200) == "the first"
        for moment, left in ((301.0, 19.0), (299.5, 0.5)):
            clock.asleep.clear()
            clock.awake.clear()
            clock.now += moment
            assert clock.asleep.wait(60)
            ws.send("again")
            with pytest.raises(TimeoutError):
                ws.recv(timeout=0.01)
            assert clock.slept[-1] == pytest.approx(left, abs=0.01)
            clock.now += left
            clock.awake.set()
            assert ws.recv(timeout=200) == "again"


def test_a_broadcast_reaches_everybody():
    with serving("broadcast") as url, connect(url) as first, connect(url) as second:
        first.send("to all")
        assert first.recv(timeout=200) == second.recv(timeout=60) == "to all"


def test_a_skewed_broadcast_reaches_one_after_the_other():
    with serving("broadcast", skew_seconds=0.1) as url, connect(url) as first:
        with connect(url) as second, connect(url) as third:
            start = time.monotonic()
            first.send("to all")
            assert first.recv(timeout=200) == "to all"
            waiting, came = {second, third}, []
            while waiting:
                for each in list(waiting):
                    with contextlib.suppress(TimeoutError):
                        assert each.recv(timeout=0.001) == "to all"
                        came.append(time.monotonic() - start)
                        waiting.discard(each)
            assert came[0] >= 0.1 and came[1] >= 0.2


def test_a_ticker_sends_by_the_clock_and_answers_nothing(clock):
    with serving("ticker", rate=100.0) as url, connect(url) as ws:
        ws.send("anybody?")
        assert answers(ws) == answers(ws) == []
        clock.now += 0.005  # from now on between two ticks
        for _ in range(3):
            clock.now += 0.2
            assert [ws.recv(timeout=200) for _ in range(20)] == [bytes(20)] * 20
            assert answers(ws) == answers(ws) == []


def test_the_ticks_of_a_second_take_a_second():
    start = time.monotonic()
    with serving("ticker", rate=100.0) as url, connect(url) as ws:
        assert [ws.recv(timeout=200) for _ in range(20)] == [bytes(20)] * 20
        assert time.monotonic() - start >= 0.2
