"""A loop with servers, clients and raw peers on it: what tests over real sockets are made of."""

from __future__ import annotations

import base64
import ctypes
import dataclasses
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wire import CLOSE, KEY, close_frame, frame, pieces, unmasked
from wsfast.callback import CallbackStream
from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.handshake import accept_key
from wsfast.limits import Limits
from wsfast.loop import Loop
from wsfast.selector import EpollSelector
from wsfast.server import Server

__all__ = [
    "CYCLES",
    "MORE_THAN_THE_KERNEL_TAKES",
    "SANITIZED",
    "SECONDS",
    "Net",
    "Peer",
    "Recorder",
    "answer_handshake",
    "goodbye",
    "heap_bytes",
    "network",
    "request_head",
    "resident_bytes",
    "text",
    "vanish",
    "with_limits",
]

LIMIT_NAMES = {field.name for field in dataclasses.fields(Limits)}

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

#: The longest wait for anything here; a busy machine may take a while.
SECONDS = 30.0

#: Deadlines that no pause of the machine passes, for what does not end by one.
PATIENT = {"opening_seconds": SECONDS, "closing_seconds": SECONDS}

#: Under make asan memory is not given back at once, and its size says nothing.
SANITIZED = bool(os.environ.get("WSFAST_SANITIZE"))

#: How many connections come and go where that must leave nothing behind; make cycles has more.
CYCLES = int(os.environ.get("WSFAST_CYCLES", "2000" if SANITIZED else "20000"))

#: A message beyond the largest send buffer of Linux, sent to a peer that does not read.
MORE_THAN_THE_KERNEL_TAKES = bytes(12 << 20)


def request_head(*lines: str, target: str = "/", key: bytes = b"0123456789abcdef") -> bytes:
    """An opening handshake by hand; `lines` are further header lines."""
    text = [
        f"GET {target} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}",
        "Sec-WebSocket-Version: 13",
        *lines,
    ]
    return "\r\n".join([*text, "", ""]).encode()


def answer_handshake(request: bytes) -> bytes:
    """The 101 that answers the bytes of a request."""
    lines = request.decode().split("\r\n")
    key = next(line.split(": ")[1] for line in lines if line.startswith("Sec-WebSocket-Key"))
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return f"{head}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()


def with_limits(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a server or client, in which those that are limits may stand by themselves."""
    limits = {name: options[name] for name in LIMIT_NAMES & options.keys()}
    rest = {name: value for name, value in options.items() if name not in limits}
    return {**rest, "limits": Limits(**limits)} if limits else rest


class Recorder:
    """A handler that keeps what happened as tuples, name first.

    Args:
        echo: send every message back.
        hooks: callables by event, "message=..." as an example; called after the event was kept.
    """

    def __init__(self, *, echo: bool = False, **hooks: Callable[..., Any]) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.endpoints: list[Endpoint] = []
        self.echo = echo
        self.hooks = hooks

    def keep(self, ws: Endpoint, name: str, *details: Any) -> None:
        self.events.append((name, *details))
        if name in self.hooks:
            self.hooks[name](ws, *details)

    def on_open(self, ws: Endpoint) -> None:
        self.endpoints.append(ws)
        self.keep(ws, "open")

    def on_message(self, ws: Endpoint, message: Any) -> None:
        self.keep(ws, "message", message)
        if self.echo:
            ws.send(message)

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        self.keep(ws, "close", close_code, close_reason)

    def on_ping(self, ws: Endpoint, payload: bytes) -> None:
        self.keep(ws, "ping", payload)

    def on_pong(self, ws: Endpoint, payload: bytes) -> None:
        self.keep(ws, "pong", payload)

    def on_drain(self, ws: Endpoint) -> None:
        self.keep(ws, "drain")

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        self.keep(ws, "failed", error)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """The events of one name."""
        return [event for event in self.events if event[0] == name]

    def names(self) -> list[str]:
        """The names of all events, in order."""
        return [event[0] for event in self.events]

    @property
    def messages(self) -> list[Any]:
        return [event[1] for event in self.named("message")]

    @property
    def closes(self) -> list[tuple[int, str]]:
        return [(event[1], event[2]) for event in self.named("close")]


class Peer:
    """A raw socket on the loop: sends what it is told, keeps what arrives."""

    def __init__(self, net: Net, connected: socket.socket, *, reading: bool = True) -> None:
        self.net = net
        self.socket = connected
        self.socket.setblocking(False)
        self.outgoing = memoryview(b"")
        self.received = bytearray()
        self.ended = False
        self.error: OSError | None = None
        self.reading = reading
        self.stream = CallbackStream(
            net.loop.selector, connected.fileno(), READ * reading, self.on_ready
        )

    def on_ready(self, events: int) -> None:
        if events & WRITE:
            self.push()
        if events & ~WRITE and self.reading:
            self.pull()

    def push(self) -> None:
        try:
            while self.outgoing:
                self.outgoing = self.outgoing[self.socket.send(self.outgoing[: 1 << 20]) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.error, self.outgoing = error, memoryview(b"")
        self.update()

    def pull(self) -> None:
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            self.error, data = error, b""
        self.received += data
        if not data:
            self.ended = True
            self.update()

    def update(self) -> None:
        wanted = READ * (self.reading and not self.ended)
        self.stream.set_events(wanted | (WRITE if self.outgoing else 0))

    def read(self) -> None:
        """Start to read, if it did not."""
        self.reading = True
        self.update()

    def send(self, data: bytes, step: int = 0) -> None:
        """Send; with a step in pieces of so many bytes, each of which is served by itself."""
        if step:
            for piece in pieces(data, step):
                self.socket.send(piece)
                self.net.loop.selector.select(0)
            return
        self.outgoing = memoryview(bytes(self.outgoing) + data)
        self.push()

    def upgrade(self, *lines: str) -> Peer:
        """Do the opening handshake; what follows the 101 stays in `received`."""
        self.send(request_head(*lines))
        self.take_head()
        return self

    def take_head(self) -> bytes:
        """Wait for the head of an HTTP answer and take it from `received`."""
        self.net.until(lambda: b"\r\n\r\n" in self.received or self.ended)
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        self.received = rest
        return bytes(head + separator)

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The frames that are there in full: (opcode, payload)."""
        found, at = [], 0
        data = self.received
        while len(data) >= at + 2:
            length, head = data[at + 1] & 127, 2
            if length >= 126:
                head = 4 if length == 126 else 10
                length = int.from_bytes(data[at + 2 : at + head], "big")
            key = bytes(data[at + head : at + head + 4]) if data[at + 1] & 128 else b""
            end = at + head + len(key) + length
            if len(data) < end:
                break
            payload = bytes(data[end - length : end])
            found.append((data[at] & 15, unmasked(payload, key) if key else payload))
            at = end
        return found

    def expect(self, *frames: tuple[int, bytes]) -> None:
        """Wait until exactly these frames have arrived."""
        self.net.until(lambda: len(self.frames) >= len(frames) or self.ended)
        assert self.frames == list(frames)

    def expect_close(self, close_code: int) -> None:
        """Wait for the server's end: a Close with that code, then TCP's, without a reset."""
        self.net.until(lambda: self.ended)
        assert self.error is None
        opcode, payload = self.frames[-1]
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, close_code)

    def close(self) -> None:
        """Close the socket, unless that was done."""
        self.stream.remove()
        self.socket.close()

    def reset(self) -> None:
        """Close it in such a way that the other end gets ECONNRESET."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()


class Net:
    """A loop, and everything that a test put on it."""

    def __init__(self, selector: EpollSelector | None = None, **options: Any) -> None:
        self.loop = Loop(selector, **options)
        self.servers: list[Server] = []
        self.clients: list[Endpoint] = []
        self.peers: list[Peer] = []
        self.listening: list[socket.socket] = []

    def until(self, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        """Run the loop until the condition holds; it must, before the deadline."""
        self.loop.run_while(lambda: not condition(), seconds)
        assert condition()

    def poll(self, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        """As `until`, for a condition that comes true without an event on this loop."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self.loop.selector.select(0.01)
        assert condition()

    def settle(self) -> None:
        """Run the loop until nothing is left to do at once."""
        for _ in range(8):
            self.loop.selector.select(0)

    def server(self, handler: object, **options: Any) -> Server:
        """A server on a free port of the loopback; its deadlines are long, if none are given."""
        options = with_limits({**PATIENT, **options})
        server = Server(handler, "127.0.0.1", 0, loop=self.loop, **options)
        self.servers.append(server)
        return server

    def url(self, server: Server) -> str:
        host, port = server.addresses[0][:2]
        return f"ws{'s' * (server.tls is not None)}://{host}:{port}/"

    def client(self, server: Server, handler: object, **options: Any) -> Endpoint:
        """Our own client on the same loop; not yet open."""
        options = with_limits({**PATIENT, **options})
        ws = connect(self.url(server), handler, loop=self.loop, **options)
        self.clients.append(ws)
        return ws

    def adopt(self, connected: socket.socket, *, reading: bool = True) -> Peer:
        peer = Peer(self, connected, reading=reading)
        self.peers.append(peer)
        return peer

    def peer(self, server: Server, *, reading: bool = True, receive_bytes: int = 0) -> Peer:
        """A raw connection to a server, before the opening handshake."""
        connected = socket.socket()
        if receive_bytes:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.connect(server.addresses[0])
        return self.adopt(connected, reading=reading)

    def open(self, handler: Recorder, **options: Any) -> tuple[Peer, Endpoint]:
        """A server with one raw peer that is past the opening handshake, and its endpoint."""
        peer = self.peer(self.server(handler, **options)).upgrade()
        return peer, handler.endpoints[-1]

    def listen(self) -> tuple[socket.socket, str]:
        """A raw listening socket for our client, and the URL for it."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.listening.append(listening)
        return listening, f"ws://127.0.0.1:{listening.getsockname()[1]}/"

    def accept(self, listening: socket.socket, *, upgrade: bool = True) -> Peer:
        """The server's end, raw, of a client of ours; past the opening handshake."""
        listening.settimeout(SECONDS)
        connected, _ = listening.accept()
        peer = self.adopt(connected)
        if upgrade:
            peer.send(answer_handshake(peer.take_head()))
        return peer

    def close(self) -> None:
        """Close all of it."""
        for peer in self.peers:
            peer.close()
        for ws in self.clients:
            ws.disconnect()
        for server in self.servers:
            server.close(limit_seconds=0.5)
        for listening in self.listening:
            listening.close()
        self.loop.close()


def network(request: pytest.FixtureRequest, name: str = "net") -> Iterator[Net]:
    """The body of a fixture called `net`; with a parameter, over that backend."""
    backend = getattr(request, "param", None)
    net = Net(EpollSelector(backend=backend))
    yield net
    net.close()
    # The item keeps its arguments to its end; whoever counts live endpoints comes before that.
    request.node.funcargs.pop(name, None)


def text(payload: str | bytes, **options: Any) -> bytes:
    """A masked text frame."""
    raw = payload.encode() if isinstance(payload, str) else payload
    return frame(1, raw, key=KEY, **options)


def goodbye(close_code: int = 1000) -> bytes:
    """A masked Close frame."""
    return close_frame(close_code, key=KEY)


def vanish(connected: socket.socket) -> None:
    """From now on nothing reaches this end, and nothing is acknowledged: as if it was unplugged.

    A socket filter that drops every segment; the test skips where there is none.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("no socket filters")
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF_RET 0
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    connected.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


def resident_bytes() -> int:
    """What this process holds in memory now."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _MallocFigures(ctypes.Structure):
    """struct mallinfo2 of glibc's malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")
        + ("uordblks", "fordblks", "keepcost")
    ]


def heap_bytes() -> int:
    """What is allocated by malloc, Python's small objects left out; skips without glibc 2.33."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None or SANITIZED:
        pytest.skip("this C library does not tell what is allocated")
    mallinfo2.restype = _MallocFigures
    figures = mallinfo2()
    return int(figures.uordblks + figures.hblkhd)
