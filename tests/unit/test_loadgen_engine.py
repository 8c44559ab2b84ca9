"""wsfast.loadgen.engine against servers that lie: every fault is counted once, by its kind.

The servers are asyncio streams with the sans-I/O protocol of `websockets`, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import socket
import struct
import sys
import threading

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
websockets = pytest.importorskip("websockets")
worker = pytest.importorskip("wsfast.loadgen.worker")

from websockets.frames import Frame, Opcode  # noqa: E402
from websockets.http11 import Request  # noqa: E402
from websockets.protocol import State  # noqa: E402
from websockets.server import ServerProtocol  # noqa: E402

from wsfast.loadgen.channel import LineReader  # noqa: E402
from wsfast.loadgen.engine import Engine  # noqa: E402
from wsfast.loadgen.payload import Payload  # noqa: E402
from wsfast.loadgen.plan import Plan  # noqa: E402
from wsfast.loadgen.results import Results  # noqa: E402
from wsfast.loop import Loop  # noqa: E402


class Server:
    """An honest echo server; the subclasses below lie in one way each."""

    def __init__(self):
        self.numbers = itertools.count(1)  # of the messages, over all connections

    def open(self, protocol, request, writer):
        protocol.send_response(protocol.accept(request))

    def answer(self, protocol, frame, writer):
        self.send(protocol, frame, frame.data)

    def send(self, protocol, frame, data):
        protocol.send_frame(Frame(frame.opcode, data))

    def is_turn(self):
        """True for every tenth message."""
        return next(self.numbers) % 10 == 0

    def handle(self, protocol, event, writer):
        if isinstance(event, Request):
            self.open(protocol, event, writer)
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.answer(protocol, event, writer)

    async def serve(self, reader, writer):
        protocol = ServerProtocol(max_size=None)
        with contextlib.suppress(ConnectionError):
            try:
                while data := await reader.read(1 << 16):
                    protocol.receive_data(data)
                    for event in protocol.events_received():
                        self.handle(protocol, event, writer)
                    chunks = protocol.data_to_send()
                    writer.write(b"".join(chunks))  # at once: a greeting comes with the 101
                    if b"" in chunks:
                        writer.close()
            finally:
                writer.close()
                await writer.wait_closed()


class Drops(Server):
    def answer(self, protocol, frame, writer):
        if not self.is_turn():
            super().answer(protocol, frame, writer)


class Duplicates(Server):
    def answer(self, protocol, frame, writer):
        super().answer(protocol, frame, writer)
        if self.is_turn():
            super().answer(protocol, frame, writer)


class Corrupts(Server):
    def answer(self, protocol, frame, writer):
        data = frame.data[:-1] + b"\xff" if self.is_turn() else frame.data
        self.send(protocol, frame, data)


class Shortens(Server):
    def answer(self, protocol, frame, writer):
        self.send(protocol, frame, frame.data[:-1] if self.is_turn() else frame.data)


class ChangesOpcode(Server):
    def answer(self, protocol, frame, writer):
        opcode = Opcode.TEXT if self.is_turn() else frame.opcode
        protocol.send_frame(Frame(opcode, b"x" * len(frame.data)))


class Greets(Server):
    def open(self, protocol, request, writer):
        super().open(protocol, request, writer)
        protocol.send_text(b"welcome")


class Fragments(Server):
    def answer(self, protocol, frame, writer):
        middle = len(frame.data) // 2
        protocol.send_frame(Frame(frame.opcode, frame.data[:middle], fin=False))
        protocol.send_frame(Frame(Opcode.PING, b"between"))
        protocol.send_frame(Frame(Opcode.CONT, frame.data[middle:]))


class Keeps(Server):
    def answer(self, protocol, frame, writer):
        """Nothing is ever answered."""


class Waits(Server):
    """Answers after 50 ms."""

    seconds = 0.05

    def answer(self, protocol, frame, writer):
        asyncio.get_running_loop().call_later(
            self.seconds, self.send_late, protocol, frame, writer
        )

    def send_late(self, protocol, frame, writer):
        self.send(protocol, frame, frame.data)
        for chunk in protocol.data_to_send():
            writer.write(chunk)


class Closes(Server):
    def answer(self, protocol, frame, writer):
        if protocol.state is State.OPEN:
            protocol.send_close(1001, "going away")


class Leaves(Server):
    def answer(self, protocol, frame, writer):
        writer.close()


class Resets(Server):
    def answer(self, protocol, frame, writer):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()


class Breaks(Server):
    def answer(self, protocol, frame, writer):
        writer.write(b"\xc1\x01x")  # RSV1 without an extension


class Refuses(Server):
    def open(self, protocol, request, writer):
        protocol.send_response(protocol.reject(403, "no"))


class Forges(Server):
    def open(self, protocol, request, writer):
        response = protocol.accept(request)
        del response.headers["Sec-WebSocket-Accept"]
        response.headers["Sec-WebSocket-Accept"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
        protocol.send_response(response)


class HangsUp(Server):
    def open(self, protocol, request, writer):
        writer.close()


class Ignores(Server):
    def open(self, protocol, request, writer):
        """The handshake is never answered."""


@contextlib.contextmanager
def running(server):
    """The port of the server, which runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(asyncio.start_server(server.serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def stop():
        listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def run_session(plan):
    """Run all phases of a worker in this process; what it reported, and the merged result."""
    commands_out, commands_in = os.pipe()
    reports_out, reports_in = os.pipe()
    collected = []
    reader = threading.Thread(target=lambda: collected.extend(read_all(reports_out)))
    reader.start()
    try:
        os.write(commands_in, b'{"start_ns":0}\n')
        worker.Session(plan, LineReader(commands_out), reports_in).run()
    finally:
        gc.unfreeze()
        os.close(reports_in)
        reader.join(10)
        for fd in (commands_out, commands_in, reports_out):
            os.close(fd)
    results = Results(settings=plan.to_dict())
    results.add(collected[-1]["result"])
    return [report["event"] for report in collected], results


def read_all(fd):
    data = b""
    while chunk := os.read(fd, 1 << 16):
        data += chunk
    return [json.loads(line) for line in data.splitlines()]


def measure(server, **fields):
    """The results of a short run against a server; the invariants hold whatever it does."""
    with running(server) as port:
        options = {"connections": 3, "in_flight": 4, "messages": 400, "seconds": 5.0, **fields}
        plan = Plan(
            url=f"ws://127.0.0.1:{port}/",
            address="127.0.0.1",
            port=port,
            drain_seconds=options.pop("drain_seconds", 0.2),
            **options,
        )
        events, results = run_session(plan)
    counts = results.counts
    assert counts["sent"] == counts["received"] + counts["lost"] + counts["unanswered"]
    assert counts["asked"] == counts["opened"] + results.failed
    assert results.latency.total == counts["received"] >= counts["measured"]
    assert results.handshake.total == counts["opened"]
    assert events[-1] == "result"
    return results


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
    results = measure(Server(), messages=None, seconds=0.2)
    assert results.window_seconds == pytest.approx(0.2)
    assert results.counts["measured"] > 10
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
    results = measure(Waits(), in_flight=in_flight, messages=15 * in_flight)
    assert results.latency.minimum >= 50_000_000
    assert results.latency.percentiles([50.0])[0] < 100_000_000
    assert 0.25 <= results.window_seconds < 1.0


def test_dropped_messages_are_lost():
    results = measure(Drops(), seconds=1.0)
    counts = results.counts
    assert counts["sent"] == 400
    assert counts["lost"] + counts["unanswered"] == 40
    assert results.server_errors["lost"] == counts["lost"] >= 37


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
    results = measure(Keeps(), seconds=0.1)
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
    results = measure(server(), connect_seconds=0.3)
    assert results.failed == 3
    assert results.server_errors == {kind: 3}
    assert results.counts["sent"] == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def plan_for(**fields):
    port = free_port()
    return Plan(url=f"ws://127.0.0.1:{port}/", address="127.0.0.1", port=port, **fields)


def test_nobody_listens():
    _, results = run_session(plan_for(connections=5, messages=10))
    assert results.server_errors == {"refused": 5}
    assert results.failed == 5


def test_no_source_address_is_our_own_fault():
    plan = plan_for(connections=2, messages=10, sources=("192.0.2.1",))
    _, results = run_session(plan)
    assert results.generator_errors == {"addresses_exhausted": 2}
    assert not results.server_errors


@pytest.mark.parametrize("in_flight", [0, (1 << 24) + 1])
def test_too_many_or_no_messages_in_flight(in_flight):
    loop = Loop()
    with pytest.raises(ValueError, match="in flight"):
        Engine(loop, plan_for(connections=1, in_flight=in_flight), Payload(b"x"))
    loop.close()


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
