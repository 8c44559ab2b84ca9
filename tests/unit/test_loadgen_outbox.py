"""wsfast.loadgen.outbox: what leaves together is the same as what leaves one by one."""

from __future__ import annotations

import sys
import threading
import time

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("websockets")
pytest.importorskip("wsfast.loadgen.worker")

from websockets.frames import Opcode  # noqa: E402
from websockets.http11 import Request  # noqa: E402

from lying_servers import Corrupts, Keeps, Leaves, Resets, Server, Waits, measure  # noqa: E402
from wsfast.loadgen.sendbatch import SendBatch  # noqa: E402


def possible() -> bool:
    """Whether this system has the io_uring that it takes."""
    try:
        SendBatch(1)
    except OSError:
        return False
    return True


@pytest.fixture(params=["batches", "one by one"])
def batches(request, monkeypatch):
    """Whether messages are to leave in batches."""
    if request.param == "batches":
        monkeypatch.delenv("WSFAST_IO_URING", raising=False)
        if not possible():
            pytest.skip("no io_uring here")
        return True
    monkeypatch.setenv("WSFAST_IO_URING", "0")
    return False


class Sleeps(Server):
    """Reads nothing for 0.3 s in the middle of the run: what it is sent does not fit."""

    def __init__(self):
        super().__init__()
        self.slept = threading.Event()

    def answer(self, protocol, frame, writer):
        if next(self.numbers) == 500:
            time.sleep(0.3)
            self.slept.set()
        super().answer(protocol, frame, writer)


@pytest.mark.parametrize("in_flight", [1, 7, 64])
@pytest.mark.parametrize("size", [0, 20, 126, 2034, 2048, 5000, 70_000])
def test_every_message_is_answered(batches, size, in_flight):
    messages = 600 if size < 5000 else 150
    results = measure(
        Server(), connections=40, in_flight=in_flight, size=size, messages=messages, seconds=60.0
    )
    assert results.counts["sent"] == results.counts["received"] == messages
    assert not results.server_errors
    assert not results.generator_errors
    assert [worker.io_uring for worker in results.workers] == [batches]


def test_sizes_that_vary_keep_their_order(batches):
    """Some fit into a batch and some do not, on one connection."""
    results = measure(
        Server(), connections=5, in_flight=50, size=6000, least_size=0, messages=3000, seconds=60.0
    )
    assert results.counts["received"] == 3000
    assert not results.server_errors


@pytest.mark.parametrize("size", [1500, 4000])
def test_what_the_kernel_does_not_take_waits(batches, size):
    server = Sleeps()
    results = measure(
        server, connections=2, in_flight=4000, size=size, messages=16_000, seconds=60.0
    )
    assert server.slept.is_set()
    assert results.counts["sent"] == results.counts["received"] == 16_000
    assert not results.server_errors
    assert not results.generator_errors


@pytest.mark.parametrize("server", [Resets, Leaves])
def test_connections_that_break(batches, server):
    """They end while others of their batch go on, and each is counted once."""

    class Sometimes(server):
        def answer(self, protocol, frame, writer):
            (server if next(self.numbers) % 50 == 0 else Server).answer(
                self, protocol, frame, writer
            )

    results = measure(Sometimes(), connections=20, messages=2000)
    assert 20 <= results.counts["received"] < 2000
    assert sum(results.server_errors[kind] for kind in ("reset", "closed_1006")) == 20
    assert set(results.server_errors) <= {"reset", "closed_1006", "unanswered"}
    assert not results.generator_errors


def test_a_close_is_not_overtaken_by_the_end(batches):
    """Who breaks the protocol hears why, behind what its last answer was followed by."""

    class Breaks(Server):
        after = b""

        def answer(self, protocol, frame, writer):
            super().answer(protocol, frame, writer)
            for chunk in protocol.data_to_send():
                writer.write(chunk)
            writer.write(b"\xc1\x01x")  # RSV1 without an extension
            self.answer = self.note

        def note(self, protocol, frame, writer):
            self.after += b"message,"

        def handle(self, protocol, event, writer):
            if not isinstance(event, Request) and event.opcode is Opcode.CLOSE:
                self.after += b"close %d" % int.from_bytes(event.data[:2], "big")
            super().handle(protocol, event, writer)

    server = Breaks()
    results = measure(server, connections=1, in_flight=1, messages=10)
    assert results.server_errors["violation_1002"] == 1
    assert server.after == b"message,close 1002"


def test_several_turns_of_one_connection_keep_their_order(batches):
    """After a time to think several of its messages may be due at the same time."""
    server = Sleeps()
    results = measure(
        server,
        connections=1,
        in_flight=200,
        size=1900,
        messages=3000,
        seconds=60.0,
        think_seconds=0.005,
    )
    assert server.slept.is_set()
    assert results.counts["received"] == 3000
    assert not results.server_errors


@pytest.mark.parametrize("warmup", [0.1, 0.217])
def test_the_window_begins_when_the_warm_up_ends(batches, warmup):
    results = measure(
        Server(), connections=20, messages=None, seconds=0.3, warmup_seconds=warmup, in_flight=1
    )
    apart = results.counts["window_sent"] - results.counts["measured"]
    assert abs(apart) <= 20, "of each connection one message, answered in the turn of the begin"


def test_connections_that_come_back(batches):
    """Their numbers, which the kernel knows them by, are given anew."""
    server = Server()
    results = measure(
        server,
        connections=20,
        messages=None,
        lifetime_seconds=0.2,
        reconnect=True,
        until=lambda: server.opened > 80,
    )
    assert results.counts["reconnected"] > 20
    assert results.counts["received"] == results.counts["sent"] - results.counts["unanswered"]
    assert not {"mismatch", "duplicate", "unexpected", "reordered"} & set(results.server_errors)


def test_pings_leave_as_well(batches):
    results = measure(Keeps(), mode="ping", connections=40, size=100, messages=400, in_flight=1)
    assert results.counts["received"] == 400


def test_wrong_answers_are_seen(batches):
    results = measure(Corrupts(), connections=40, in_flight=1)
    assert results.counts["mismatch"] == 40


def test_the_time_of_leaving_is_that_of_each_message(batches):
    """The server answers after 50 ms: no message is dated before it left, or much later."""
    server = Waits()
    results = measure(server, connections=100, in_flight=1, messages=1000, seconds=60.0)
    assert results.latency.minimum >= 50_000_000


def test_the_open_loop_sends_when_it_is_due(monkeypatch):
    monkeypatch.delenv("WSFAST_IO_URING", raising=False)
    results = measure(Server(), connections=20, messages=None, rate=500.0, seconds=0.4)
    assert results.counts["received"] == 200
    assert [worker.io_uring for worker in results.workers] == [False]
