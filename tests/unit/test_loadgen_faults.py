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


def exchange(url, messages):
    """Send all of them, then a last one; what comes until nothing more does."""
    with connect(url) as ws:
        for message in messages:
            ws.send(message)
        found = []
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(ws.recv(timeout=0.3))
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
        assert ws.recv(timeout=5) == "now"
        assert 0.05 <= time.monotonic() - start < 0.5


def test_delays_by_weight():
    with serving(delays=[(0.0001, 3), (0.2, 1)]) as url, connect(url) as ws:
        for message in MESSAGES[:100]:
            ws.send(message)
        time.sleep(0.1)
        early = []
        with contextlib.suppress(TimeoutError):
            while True:
                early.append(ws.recv(timeout=0.01))
        assert 50 < len(early) < 95


def test_frozen():
    """Once the freeze is due, an answer takes as long as is left of it."""
    with serving(stall_seconds=0.2, stall_every_seconds=0.3) as url, connect(url) as ws:
        longest, begun = 0.0, time.monotonic()
        while time.monotonic() - begun < 0.6:
            start = time.monotonic()
            ws.send("again")
            ws.recv(timeout=5)
            longest = max(longest, time.monotonic() - start)
        assert 0.15 <= longest <= 0.4


def test_a_broadcast_reaches_everybody():
    with serving("broadcast") as url, connect(url) as first, connect(url) as second:
        first.send("to all")
        assert first.recv(timeout=5) == second.recv(timeout=5) == "to all"


def test_a_skewed_broadcast_reaches_one_after_the_other():
    with serving("broadcast", skew_seconds=0.1) as url, connect(url) as first:
        with connect(url) as second, connect(url) as third:
            start = time.monotonic()
            first.send("to all")
            assert first.recv(timeout=5) == "to all"
            waiting, came = {second, third}, []
            while waiting:
                for each in list(waiting):
                    with contextlib.suppress(TimeoutError):
                        assert each.recv(timeout=0.001) == "to all"
                        came.append(time.monotonic() - start)
                        waiting.discard(each)
            assert came[0] >= 0.1 and came[1] >= 0.2


def test_a_ticker_sends_by_the_clock_and_answers_nothing():
    with serving("ticker", rate=100.0) as url, connect(url) as ws:
        ws.send("anybody?")
        start = time.monotonic()
        ticks = [ws.recv(timeout=5) for _ in range(20)]
        assert ticks == [bytes(20)] * 20
        assert 0.15 <= time.monotonic() - start <= 1.0
