"""Echo servers that lie in one way each, and a worker's run against them.

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
import threading

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from wsfast.loadgen import worker
from wsfast.loadgen.channel import LineReader
from wsfast.loadgen.plan import Plan
from wsfast.loadgen.results import Results

__all__ = [
    "Breaks",
    "Calls",
    "Closes",
    "ChangesOpcode",
    "Corrupts",
    "Drops",
    "Duplicates",
    "Forges",
    "Fragments",
    "Greets",
    "HangsUp",
    "Ignores",
    "Keeps",
    "Leaves",
    "Refuses",
    "Resets",
    "Server",
    "Shortens",
    "Swaps",
    "Waits",
    "fan_out",
    "measure",
    "plan_for",
    "run_session",
    "running",
    "silent_port",
]


class Server:
    """An honest echo server; the subclasses below lie in one way each.

    Attributes:
        opened: requests that came.
        came: messages that came.
        until: when this says so the load is to end, whatever the plan says; None: never.
        stop: what ends it.
    """

    until = stop = None

    def __init__(self):
        self.numbers = itertools.count(1)  # of the messages, over all connections
        self.opened = self.came = 0

    def open(self, protocol, request, writer):
        protocol.send_response(protocol.accept(request))

    def answer(self, protocol, frame, writer):
        self.send(protocol, frame, frame.data)

    def send(self, protocol, frame, data):
        protocol.send_frame(Frame(frame.opcode, data))

    def is_turn(self):
        """True for every tenth message from the fifth on: the last one is none of them."""
        return next(self.numbers) % 10 == 5

    def handle(self, protocol, event, writer):
        if isinstance(event, Request):
            self.opened += 1
            self.open(protocol, event, writer)
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.came += 1
            self.answer(protocol, event, writer)
        if self.until is not None and self.until():
            self.until = None
            self.stop()

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


class Swaps(Server):
    """Every second answer comes in front of the one before it."""

    def __init__(self):
        super().__init__()
        self.kept = None

    def answer(self, protocol, frame, writer):
        if self.kept is None:
            self.kept = frame
            return
        kept, self.kept = self.kept, None
        super().answer(protocol, frame, writer)
        super().answer(protocol, kept, writer)


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


class Calls(Server):
    """Answers a call {"id": 5} with {"data": [{"seq": 5}], "id": "5"}, in text."""

    def answer(self, protocol, frame, writer):
        self.reply(protocol, json.loads(frame.data)["id"])

    def reply(self, protocol, number):
        found = {"text": '"id": 0', "data": [{"seq": number}], "id": str(number)}
        protocol.send_text(json.dumps(found).encode())


class Keeps(Server):
    def answer(self, protocol, frame, writer):
        """Nothing is ever answered."""


class Waits(Server):
    """Answers after 50 ms.

    Attributes:
        most: how many messages have waited at the same time.
    """

    seconds = 0.05

    def __init__(self):
        super().__init__()
        self.waiting = self.most = 0

    def answer(self, protocol, frame, writer):
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        asyncio.get_running_loop().call_later(
            self.seconds, self.send_late, protocol, frame, writer
        )

    def send_late(self, protocol, frame, writer):
        self.waiting -= 1
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


class Stop:
    """Ends the load of a session, as an interrupt does; from any thread, and never too late."""

    def __init__(self, commands):
        self.lock, self.commands = threading.Lock(), commands

    def __call__(self):
        with self.lock:
            if self.commands is not None:
                os.write(self.commands, b'{"stop":true}\n')

    def close(self):
        with self.lock:
            self.commands = None


def run_session(plan, server=None):
    """Run all phases of a worker in this process; what it reported, and the merged result."""
    commands_out, commands_in = os.pipe()
    reports_out, reports_in = os.pipe()
    collected = []
    reader = threading.Thread(target=lambda: collected.extend(read_all(reports_out)))
    reader.start()
    stop = Stop(commands_in)
    if server is not None:
        server.stop = stop
    try:
        os.write(commands_in, b'{"start_ns":0}\n')
        worker.Session(plan, LineReader(commands_out), reports_in).run()
    finally:
        gc.unfreeze()
        stop.close()
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


def measure(server, *, until=None, **fields):
    """The results of a short run against a server; the invariants hold whatever it does.

    Args:
        server: one of the classes above.
        until: asked after each thing that the server gets; when it holds, the load ends.
        fields: of the plan.
    """
    server.until = until
    with running(server) as port:
        options = {"connections": 3, "in_flight": 4, "messages": 400, "seconds": 60.0, **fields}
        plan = Plan(
            url=f"ws://127.0.0.1:{port}/",
            address="127.0.0.1",
            port=port,
            drain_seconds=options.pop("drain_seconds", 10.0),
            **options,
        )
        events, results = run_session(plan, server)
    counts = results.counts
    assert counts["sent"] == counts["received"] + counts["lost"] + counts["unanswered"]
    assert counts["asked"] == counts["opened"] + results.failed
    recorded = results.latency.total + results.histogram("warmup").total
    assert recorded == counts["received"] + counts["censored"]
    assert counts["received"] >= counts["measured"]
    assert results.handshake.total == counts["opened"] + counts["reconnected"]
    assert events[-1] == "result"
    return results


@contextlib.contextmanager
def silent_port():
    """A port at which nobody listens, and which nobody else can take meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def plan_for(*, port=9, **fields):
    """A plan for tests that connect to nobody; 9 is the port of discard."""
    return Plan(url=f"ws://127.0.0.1:{port}/", address="127.0.0.1", port=port, **fields)


def fan_out(server, *, publishers=1, **fields):
    """The results of one publisher (or more) and three subscribers; 100 messages in 0.5 s."""
    with running(server) as port:
        plan = Plan(
            url=f"ws://127.0.0.1:{port}/",
            address="127.0.0.1",
            port=port,
            mode="fanout",
            publishers=publishers,
            lanes=publishers,
            **{
                "connections": publishers + 3,
                "rate": 200.0,
                "seconds": 0.5,
                "size": 52,
                "drain_seconds": 10.0,
                "opening": 1,  # the publishers come first, the subscribers in order
                **fields,
            },
        )
        _, results = run_session(plan)
    return results
