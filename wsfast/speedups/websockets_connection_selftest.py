"""websockets' connections beside themselves: messages through the originals and through ours.

No loop, no thread and no socket is needed for that: connections are made bare, with a transport
that remembers what is written to it, and coroutines are stepped by hand.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any

from .selftest import TEXTS, Mismatch, outcome, typed
from .target import Level, Originals
from .websockets_selftest import called_by, differ, forms, unmasked

__all__ = ["asyncio_selftest", "sync_selftest"]

GET = "websockets.asyncio.messages:Assembler.get"
PUT = "websockets.asyncio.messages:Assembler.put"
SEND = "websockets.asyncio.connection:Connection.send"
SYNC_SEND = "websockets.sync.connection:Connection.send"


def asyncio_selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare Assembler.get and put, and Connection.send, with the originals.

    Raises:
        Mismatch: naming what differs.
    """
    from websockets.asyncio.connection import Connection

    if SEND in originals:
        _check_queue(originals, random)
        theirs = type("Connection", (Connection,), {"send": originals[SEND]})
        _check_reached(_asyncio_connection(Connection, _protocol(True, False)))
        for _ in range(6):
            _check_asyncio_send(theirs, random)


def sync_selftest(originals: Originals, level: Level, random: Random) -> None:
    """Compare the send of threaded connections with the original.

    Raises:
        Mismatch: naming what differs.
    """
    from websockets.sync.connection import Connection

    if SYNC_SEND in originals:
        theirs = type("Connection", (Connection,), {"send": originals[SYNC_SEND]})
        _check_reached(_sync_connection(Connection, _protocol(True, False)))
        for _ in range(12):
            _check_sync_send(theirs, random)


# --- bare connections --------------------------------------------------------------------------


class _Wire:
    """Transport and socket: remembers what is written."""

    def __init__(self, closing: bool = False) -> None:
        self.written: list[bytes] = []
        self.write = self.sendall = self.written.append
        self._closing = closing

    def is_closing(self) -> bool:
        return self._closing


class _Future:
    """What a loop would make: whoever awaits it is stepped once more."""

    def __init__(self) -> None:
        self.results: list[object] = []

    def __await__(self) -> Iterator[str]:
        yield "waited"

    def done(self) -> bool:
        return bool(self.results)

    def set_result(self, result: object) -> None:
        self.results.append(result)

    def cancel(self) -> None:
        self.results.append("canceled")


class _Loop:
    create_future = _Future


def _protocol(client: bool, deflate: bool) -> Any:
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.protocol import CLIENT, SERVER, Protocol

    made: Any = Protocol(CLIENT if client else SERVER)
    if deflate:
        made.extensions = [PerMessageDeflate(False, False, 12, 12, {})]
    return made


def _asyncio_connection(
    cls: Any, protocol: Any, paused: bool = False, closing: bool = False
) -> Any:
    """An open connection without its __init__, which asks for a running loop."""
    made = cls.__new__(cls)
    made.protocol, made.transport, made.loop = protocol, _Wire(closing), _Loop()
    made.paused, made.drain_waiters, made.debug = paused, deque(), False
    made.send_in_progress = made.fragmented_send_waiter = None
    made.close_timeout = made.close_deadline = None
    return made


def _sync_connection(cls: Any, protocol: Any) -> Any:
    """An open connection without its __init__, which starts a thread."""
    made = cls.__new__(cls)
    made.protocol, made.socket, made.debug = protocol, _Wire(), False
    made.protocol_mutex, made.send_in_progress = threading.Lock(), False
    made.close_timeout = made.close_deadline = None
    return made


def _stepped(awaitable: Any) -> list[object]:
    """What an awaitable yields until it returns or raises, and that."""
    steps: list[object] = []
    coroutine = awaitable.__await__()
    while len(steps) < 100:
        step = outcome(_step, coroutine)
        steps.append(step)
        if step.kind == "raised" or step.value[1][0] == "returned":
            break
    return steps


def _step(coroutine: Any) -> tuple[str, object]:
    try:
        return "yielded", next(coroutine)
    except StopIteration as stop:
        return "returned", stop.value


# --- sending -----------------------------------------------------------------------------------


def _message(random: Random) -> Any:
    text = random.choice(TEXTS).decode(errors="replace") * random.choice((1, 1, 40))
    data = forms(random, random.randbytes(random.choice((0, 1, 125, 126, 1000))))
    return random.choice((text, text, data, data, [text, text], {"a": 1}, [data], [], [1]))


def _check_asyncio_send(theirs: Any, random: Random) -> None:
    from websockets.asyncio.connection import Connection

    client, deflate = random.random() < 0.5, random.random() < 0.5
    paused, closing = random.random() < 0.2, random.random() < 0.2
    pair = [
        _asyncio_connection(cls, _protocol(client, deflate), paused, closing)
        for cls in (Connection, theirs)
    ]
    for _ in range(3):
        message, text = _message(random), random.choice((None, None, True, False))
        if _is_odd(message):
            continue
        ours, expected = [
            (_stepped(each.send(message, text=text)), _written(each.transport)) for each in pair
        ]
        differ(f"asyncio: send({message!r:.80}, text={text})", ours, expected)


def _check_sync_send(theirs: Any, random: Random) -> None:
    from websockets.sync.connection import Connection

    client, deflate = random.random() < 0.5, random.random() < 0.5
    pair = [_sync_connection(cls, _protocol(client, deflate)) for cls in (Connection, theirs)]
    for _ in range(2):
        message, text = _message(random), random.choice((None, None, True, False))
        if _is_odd(message):
            continue
        ours, expected = [
            (outcome(each.send, message, text=text), _written(each.socket)) for each in pair
        ]
        differ(f"sync: send({message!r:.80}, text={text})", ours, expected)


def _is_odd(message: Any) -> bool:
    """Whether the library fails the connection for it, which needs a loop or a thread."""
    if isinstance(message, list):
        return any(not isinstance(each, str | bytes | bytearray) for each in message)
    return not isinstance(message, str | bytes | bytearray | memoryview | dict | None)


def _written(wire: Any) -> object:
    return [unmasked(each) for each in wire.written]


def _check_reached(connection: Any) -> None:
    """A message must pass none of the library's own code for frames."""

    def send() -> None:
        sent = connection.send("reached")
        if sent is not None:
            _stepped(sent)

    found = called_by(send) & {"send_context", "send_text", "serialize"}
    if found:
        raise Mismatch(f"send() passed {sorted(found)}")


# --- receiving ---------------------------------------------------------------------------------


def _assembler(cls: Any, high: int | None, log: list[str]) -> Any:
    from websockets.asyncio.messages import SimpleQueue

    queue = SimpleQueue.__new__(SimpleQueue)
    queue.loop, queue.get_waiter, queue.queue = _Loop(), None, deque()
    made = cls.__new__(cls)
    made.frames, made.high, made.low = queue, high, None if high is None else high // 4
    made.pause, made.resume = lambda: log.append("pause"), lambda: log.append("resume")
    made.paused = made.get_in_progress = made.closed = False
    return made


def _check_queue(originals: Originals, random: Random) -> None:
    """The same frames in and messages out of two assemblers."""
    from websockets.asyncio.messages import Assembler
    from websockets.frames import Frame, Opcode

    theirs = type("Assembler", (Assembler,), {"get": originals[GET], "put": originals[PUT]})
    unlimited = Assembler.__init__.__defaults__[0]  # None since 14.1, a number before
    high = random.choice((unlimited, 0, 1, 4, 4))
    logs: tuple[list[str], list[str]] = ([], [])
    pair = [_assembler(cls, high, log) for cls, log in zip((Assembler, theirs), logs, strict=True)]
    getters: list[Any] = []
    for _ in range(30):
        if getters and random.random() < 0.7:
            getters, found = [], [_stepped(each) for each in getters]
            differ("awaiting Assembler.get()", *found)
        elif random.random() < 0.4 and not getters:
            decode = random.choice((None, None, True, False))
            getters = [each.get(decode) for each in pair]
        else:
            opcode, fin = random.choice((Opcode.TEXT, Opcode.BINARY)), random.random() < 0.8
            frame = Frame(opcode, random.choice((bytes, bytearray))(random.choice(TEXTS)), fin)
            differ("Assembler.put()", *[outcome(each.put, frame) for each in pair])
        if random.random() < 0.02:
            for each in pair:
                each.close()
        differ("an Assembler", *[_held(each) for each in pair])
        differ("the calls of an Assembler", *logs)
    for each in getters:
        each.close()


def _held(assembler: Any) -> object:
    flags = (assembler.paused, assembler.get_in_progress, assembler.closed)
    return flags, list(map(id, assembler.frames.queue)), typed(assembler.frames.get_waiter)
