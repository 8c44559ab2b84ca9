"""Batches of small frames to payload objects: python -m bench.bench_connection"""

from __future__ import annotations

import importlib.util
import random
import statistics
import sys
from collections.abc import Callable
from typing import Any

from bench.interleave import Row, Sampler, interleave, row, table, timed
from wsfast.connection import Connection
from wsfast.frame import encode_header
from wsfast.mask import apply_mask
from wsfast.rfc6455 import Role

__all__ = ["batch", "main", "measure", "readers", "rows"]

#: What a frame of a batch holds: (kind, bytes), and how many frames a read has.
CASES = [
    (kind, size, count)
    for kind in ("binary", "text")
    for size in (16, 64, 125)
    for count in (8, 64)
]


def batch(kind: str, size: int, count: int) -> tuple[bytes, list[Any]]:
    """One read of a server: masked frames, and the messages in them."""
    choose = random.Random(size)
    data, messages = bytearray(), []
    for _ in range(count):
        payload = bytes(choose.choices(range(32, 127), k=size))
        key = choose.randbytes(4)
        data += encode_header(1 if kind == "text" else 2, size, masking_key=key)
        data += apply_mask(payload, key)
        messages.append(payload.decode() if kind == "text" else payload)
    return bytes(data), messages


def no_op(message: Any) -> None:
    """What the least of handlers costs."""


class Unpaused:
    """What aiohttp's queue asks of its transport's protocol."""

    _reading_paused = False

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False


class AiohttpReader:
    """aiohttp's compiled reader; the messages stand in its queue, which is emptied.

    Emptied at once, not one by one through the queue's own read(): that would cost more. The
    queue goes on counting what it holds, so it is replaced before it asks for a pause.
    """

    LIMIT = 1 << 29

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        from aiohttp._websocket.reader_c import WebSocketDataQueue, WebSocketReader

        self.queue = WebSocketDataQueue(Unpaused(), self.LIMIT, loop=None)
        self.buffer = self.queue._buffer
        self.feed = WebSocketReader(self.queue, 1 << 20, False, True).feed_data

    def __call__(self, data: bytes) -> list[Any]:
        self.feed(data)
        messages = list(self.buffer)
        self.buffer.clear()
        if self.queue._size > self.LIMIT:
            self.renew()
        return messages


def websockets_reader() -> Callable[[bytes], list[Any]]:
    """The sans-I/O protocol of websockets, with its C extension; frames are what it returns."""
    from websockets.protocol import SERVER, Protocol

    protocol = Protocol(SERVER)

    def read(data: bytes) -> list[Any]:
        protocol.receive_data(data)
        return protocol.events_received()

    return read


def wsproto_reader() -> Callable[[bytes], list[Any]]:
    """wsproto, the pure Python one."""
    from wsproto import ConnectionType
    from wsproto.connection import Connection as Peer

    peer = Peer(ConnectionType.SERVER)

    def read(data: bytes) -> list[Any]:
        peer.receive_data(data)
        return list(peer.events())

    return read


def readers() -> dict[str, Callable[[bytes], list[Any]]]:
    """Ours and whoever is installed: name to a function from bytes to messages."""
    found: dict[str, Callable[[bytes], list[Any]]] = {"wsfast": Connection(Role.SERVER).receive}
    for name, make in (
        ("aiohttp", AiohttpReader),
        ("websockets", websockets_reader),
        ("wsproto", wsproto_reader),
    ):
        if importlib.util.find_spec(name):
            found[name] = make()
        else:
            print(f"{name} is not installed: left out")
    return found


def payload_of(event: Any) -> Any:
    """The message in what a peer's reader returns."""
    event = event[0] if isinstance(event, tuple) and isinstance(event[0], tuple) else event
    data = getattr(event, "data", event)
    return bytes(data) if isinstance(data, bytearray | memoryview) else data


def measure(case: tuple[str, int, int], seconds: float = 1.5) -> dict[str, list[float]]:
    """Seconds a message of each reader and of a no-op call, one figure a round."""
    kind, size, count = case
    data, messages = batch(kind, size, count)
    samplers: dict[str, Sampler] = {"no-op call": timed(no_op, messages[0])}
    for name, read in readers().items():
        found = [payload_of(event) for event in read(data)]
        if name == "websockets" and kind == "text":
            found = [each.decode() for each in found]
        if found != messages:
            raise RuntimeError(f"{name} read {found[:1]} ... for {messages[:1]} ...")
        samplers[name] = timed(read, data)
    samples = interleave(samplers, seconds=seconds)
    return {
        name: figures if name == "no-op call" else [each / count for each in figures]
        for name, figures in samples.items()
    }


def rows(case: tuple[str, int, int], samples: dict[str, list[float]]) -> list[Row]:
    """The lines of one case; nanoseconds beside them."""
    kind, size, count = case
    name = f"{count} x {size} B {kind}"
    own = statistics.median(samples["wsfast"]) * 1e9
    lines = [
        row(f"{name} ({own:.0f} ns): wsfast / no-op call", samples, "wsfast", "no-op call", "<= 2")
    ]
    for peer, target in (("aiohttp", ">= 6"), ("websockets", ""), ("wsproto", "")):
        if peer in samples:
            lines.append(row(f"{name}: {peer} / wsfast", samples, peer, "wsfast", target))
    return lines


def main() -> int:
    """Measure and print; 0 if every target is met."""
    lines = [line for case in CASES for line in rows(case, measure(case))]
    return 0 if table("Connection: seconds a message", lines) else 1


if __name__ == "__main__":
    sys.exit(main())
