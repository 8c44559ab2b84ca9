"""The self-test of autobahn: connections without a network, with the originals and with ours."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from . import autobahn
from .hoehrmann import broken_text, compare_maskers, compare_validators, parts_of, text_of
from .selftest import Mismatch, frame_bytes
from .target import Level, Originals, Workload

__all__ = ["selftest", "workloads"]

ANSWER = 20  # of fragments, so that most of a dialogue is of small frames


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """See `Part.selftest`."""
    from autobahn.websocket import protocol

    original = originals[f"{autobahn.PROTOCOL}:create_xor_masker"]
    compare_maskers(original, protocol.create_xor_masker, random)
    validator = originals[f"{autobahn.PROTOCOL}:Utf8Validator"]
    # After a reject NVX goes on as if nothing had happened; autobahn's own validator does not.
    is_nvx = validator.__module__.startswith("autobahn.nvx")
    compare_validators(
        validator, protocol.Utf8Validator, random, after_reject=not is_nvx, only_bytes=is_nvx
    )
    if level == "frames":
        _check_reached()
        for _ in range(2):
            _compare_received(originals, random)
            _compare_sent(originals, random)


# --- a connection without a network --------------------------------------------------------------


class Quiet:
    """A log that drops everything, as autobahn's below the level that is set."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _no_op


def _no_op(*words: object, **fields: object) -> None:
    pass


_no_op.__module__ = "txaio.aio"


class Settled:
    """A future of asyncio and of Twisted that is resolved with nothing."""

    def add_done_callback(self, done: object) -> None:
        """What asyncio would call `done` for is over."""

    def addErrback(self, failed: object) -> None:
        """There was no error."""


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    def write(self, data: Any) -> None:
        self.written.append(data)


OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("logOctets", "logFrames", "trackTimings", "failByDrop"), False),
    **dict.fromkeys(("utf8validateIncoming", "applyMask", "requireMaskedClientFrames"), True),
    **dict.fromkeys(("maskServerFrames", "acceptMaskedServerFrames"), False),
    **dict.fromkeys(("maxFramePayloadSize", "maxMessagePayloadSize", "autoFragmentSize"), 0),
    "maskClientFrames": True,
    "echoCloseCodeReason": False,
    "autoPingRestartOnAnyTraffic": True,
    "openHandshakeTimeout": 0,
    "closeHandshakeTimeout": 0,
    "serverConnectionDropTimeout": 0,
}


@functools.cache
def adapter() -> Any:
    """A class of connections that passes calls on as autobahn's two adapters do."""
    from autobahn.websocket.protocol import WebSocketProtocol

    txaio: Any = importlib.import_module("txaio")

    class Adapter(WebSocketProtocol):  # type: ignore[misc]
        CONFIG_ATTRS = tuple(OPTIONS)
        log = Quiet()
        peer = "nobody"

        def __init__(self, is_server: bool, options: dict[str, Any]) -> None:
            self.transport = Transport()
            self.factory = SimpleNamespace(
                isServer=is_server, proxy=None, **{**OPTIONS, **options}
            )
            self.events: list[Any] = []
            self.timers = self.fired = 0
            self._connectionMade()
            self.state = self.STATE_OPEN
            self.current_frame = None
            self.inside_message = False
            self.websocket_version = 13

        def fire(self, event: str, *given: object, **named: object) -> Settled:
            self.fired += 1
            return Settled()

        def dropConnection(self, abort: bool = False) -> None:
            self.events.append(("dropped", abort))
            self.state = self.STATE_CLOSED

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.events.append((type(payload), payload, isBinary, snapshot(self)))

        def _cancelAutoPingTimeoutCall(self) -> None:
            self.timers += 1

    for name in ("MessageBegin", "MessageFrameBegin", "MessageFrameData", "MessageFrameEnd"):
        setattr(Adapter, f"_on{name}", _forward(f"on{name}"))
    for name in ("MessageFrame", "MessageEnd", "Message", "Ping", "Pong"):
        setattr(Adapter, f"_on{name}", _forward(f"on{name}"))
    if not txaio.using_asyncio and not txaio.using_twisted:
        Adapter.onMessageEnd = _end_message  # the original needs an event loop
    autobahn.Plans.own.append(Adapter)
    return Adapter


def _forward(name: str) -> Callable[..., None]:
    def forward(self: Any, *given: object) -> None:
        getattr(self, name)(*given)

    return forward


def _end_message(self: Any) -> None:
    if not self.failedByMe:
        self._onMessage(b"".join(self.message_data), self.message_is_binary)
        self.fire("message")
    self.message_data = None


@functools.cache
def _original_adapter(originals: tuple[tuple[str, Any], ...]) -> Any:
    return type("Adapter", (adapter(),), dict(originals))


def theirs(originals: Originals) -> Any:
    """A subclass with the original methods."""
    prefix = f"{autobahn.CONNECTION}."
    found = {k.removeprefix(prefix): v for k, v in originals.items() if k.startswith(prefix)}
    return _original_adapter(tuple(found.items()))


def snapshot(connection: Any) -> dict[str, Any]:
    """What can be seen of a connection from outside, and from inside of onMessage."""
    from .autobahn_receiver import FIELDS

    own = vars(connection)
    seen = {name: own[name] for name in FIELDS if name in own}
    seen["frame"] = seen["current_frame"] and dict(vars(seen.pop("current_frame")))
    seen["masker"] = "current_frame_masker" in seen and seen["current_frame_masker"].pointer()
    seen["traffic"] = dict(vars(seen["trafficStats"]))
    for name in ("factory", "trafficStats", "utf8validator", "current_frame_masker"):
        seen.pop(name, None)
    for name in ("frame_data", "message_data"):
        if seen.get(name) is not None:
            seen[name] = list(seen[name])
    return seen | {"frame types": [type(each) for each in (seen["frame"] or {}).values()]}


# --- receiving -----------------------------------------------------------------------------------


def _random_frame(random: Random, is_server: bool, inside: bool) -> tuple[bytes, bool]:
    """A frame, with something wrong in one of ten, and whether a message goes on behind it."""
    opcode = 0 if inside else random.choice((1, 2))
    fin, rsv, form = random.random() < 0.7, 0, None
    payload = text_of(random.choice((0, 1, ANSWER, 125, 126, 300)), random)
    masking_key = random.randbytes(4) if is_server else None
    fault = random.random()
    if fault < 0.15:
        opcode, fin, payload = random.choice((8, 9, 10)), True, payload[:60]
        inside_after = inside
    else:
        inside_after = not fin
    if 0.15 < fault < 0.20:
        payload = broken_text(random)
    elif 0.20 < fault < 0.22:
        masking_key = None if is_server else b"four"
    elif 0.22 < fault < 0.24:
        rsv, form = random.randrange(8), random.choice((7 if len(payload) < 126 else 64, 64))
    elif 0.24 < fault < 0.25:
        opcode = random.randrange(16)
    frame = frame_bytes(
        opcode, payload, fin=fin, rsv=rsv, masking_key=masking_key, length_form=form
    )
    return frame, inside_after


def _random_options(random: Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if random.random() < 0.2:
        options["maxFramePayloadSize"] = random.choice((10, 126))
    if random.random() < 0.2:
        options["maxMessagePayloadSize"] = random.choice((10, 126, 400))
    for name in ("utf8validateIncoming", "applyMask", "requireMaskedClientFrames"):
        options[name] = random.random() < 0.9
    for name in ("failByDrop", "acceptMaskedServerFrames", "maskServerFrames"):
        options[name] = random.random() < 0.2
    return options


def _received(connection: Any, parts: Sequence[bytes]) -> list[Any]:
    seen: list[Any] = []
    for part in parts:
        try:
            connection._dataReceived(part)
        except Exception as error:
            seen.append((type(error), str(error)))
        written = [bytes(each[-2:]) for each in connection.transport.written]
        seen.append((list(connection.events), snapshot(connection), len(written)))
    return [*seen, connection.timers]


def _compare_received(originals: Originals, random: Random) -> None:
    is_server, options = random.random() < 0.7, _random_options(random)
    stream, inside = b"", False
    for _ in range(random.randint(1, 14)):
        frame, inside = _random_frame(random, is_server, inside)
        stream += frame
    parts = list(parts_of(stream, random))
    connections = [kind(is_server, options) for kind in (theirs(originals), adapter())]
    if random.random() < 0.2:
        for each in connections:
            each.autoPingTimeoutCall = "pending"
    expected, got = (_received(each, parts) for each in connections)
    for number, (one, other) in enumerate(zip(expected, got, strict=True)):
        if one != other:
            told = f"of {stream!r} in {len(parts)}: the original {one}, wsfast {other}"
            raise Mismatch(f"processData after part {number} {told}, {options}")


# --- sending -------------------------------------------------------------------------------------


def unmasked(frame: bytes) -> bytes:
    """A frame whose masking key, if it has one, does not tell it from another."""
    if len(frame) < 2 or not frame[1] & 0x80:
        return frame
    start = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    key, payload = frame[start : start + 4], frame[start + 4 :]
    return frame[:start] + bytes(4) + bytes(b ^ key[i & 3] for i, b in enumerate(payload))


def _random_call(random: Random) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    payload = text_of(random.choice((0, 1, ANSWER, 125, 126, 127)), random)
    kind = random.random()
    if kind < 0.5:
        named: dict[str, Any] = {"isBinary": random.random() < 0.5}
        if random.random() < 0.2:
            named["fragmentSize"] = random.choice((0, 7, 100, None))
        return "sendMessage", (payload,), named
    if kind < 0.8:
        options = {
            "payload": random.choice((payload, bytearray(payload))),
            "fin": random.choice((True, False, 1, 0)),
            "rsv": random.choice((0, 0, 4, 9)),
        }
        chosen = {name: value for name, value in options.items() if random.random() < 0.7}
        return "sendFrame", (random.choice((0, 1, 2, 8, 9, 10, 15, 17)),), chosen
    if kind < 0.9:
        return random.choice(("sendPing", "sendPong")), (payload[:125],), {}
    wrong = random.choice(((payload, 1), ("text",), (bytearray(payload),), (payload, True, None)))
    return "sendMessage", wrong, {}


def _sent(connection: Any, calls: Sequence[Any], options: dict[str, Any]) -> list[Any]:
    seen: list[Any] = []
    for name, given, named in calls:
        connection.transport.written.clear()
        try:
            result = getattr(connection, name)(*given, **named)
        except Exception as error:
            result = (type(error), str(error))
        frames = [(type(each), bytes(each)) for each in connection.transport.written]
        if options["applyMask"]:
            frames = [(kind, unmasked(each)) for kind, each in frames]
        else:
            frames = [(kind, each[:2]) for kind, each in frames]
        seen.append((name, result, frames, snapshot(connection)))
    return seen


def _compare_sent(originals: Originals, random: Random) -> None:
    is_server, options = random.random() < 0.5, _random_options(random)
    options["maskClientFrames"] = random.random() < 0.9
    options["autoFragmentSize"] = random.choice((0, 0, 5, 126))
    calls = [_random_call(random) for _ in range(random.randint(1, 10))]
    connections = [kind(is_server, options) for kind in (theirs(originals), adapter())]
    expected, got = (_sent(each, calls, options) for each in connections)
    for call, one, other in zip(calls, expected, got, strict=True):
        if one != other:
            raise Mismatch(f"{call} {options}: the original {one}, wsfast {other}")


def _check_reached() -> None:
    """A message comes in through our processData, and goes out by our sendMessage."""
    from autobahn.websocket.protocol import WebSocketProtocol

    for name in ("processData", "sendData", "sendFrame", "sendMessage"):
        if not getattr(getattr(WebSocketProtocol, name), "__wsfast__", False):
            raise Mismatch(f"{name} is not ours")
    connection = adapter()(True, {})
    connection._dataReceived(frame_bytes(2, b"in", masking_key=b"four"))
    connection.sendMessage(b"out", True)
    if [each[1] for each in connection.events] != [b"in"] or connection.fired:
        raise Mismatch("a message did not come in through ours")
    if connection.transport.written != [b"\x82\x03out"]:
        raise Mismatch("a message did not go out")


# --- bench ---------------------------------------------------------------------------------------

FRAMES = 32  # per turn of the event loop


@functools.cache
def _loop() -> Any:
    import asyncio

    txaio: Any = importlib.import_module("txaio")
    txaio.use_asyncio()
    txaio.config.loop = asyncio.new_event_loop()
    return txaio.config.loop


def _connection(is_server: bool) -> Any:
    from autobahn.asyncio.websocket import (
        WebSocketClientFactory,
        WebSocketClientProtocol,
        WebSocketServerFactory,
        WebSocketServerProtocol,
    )

    factory: Any = WebSocketServerFactory if is_server else WebSocketClientFactory
    kind: Any = WebSocketServerProtocol if is_server else WebSocketClientProtocol
    kind = type("Connection", (kind,), {"onMessage": lambda self, payload, isBinary: None})
    connection = kind()
    connection.factory = factory("ws://127.0.0.1:9", loop=_loop())
    connection.transport = SimpleNamespace(write=lambda data: None)
    connection._connectionMade()
    connection.state = connection.STATE_OPEN
    connection.current_frame = None
    connection.inside_message = False
    connection.websocket_version = 13
    return connection


def _turn(call: Callable[[], object]) -> Callable[[], None]:
    """FRAMES calls and what they have left for the event loop."""
    loop = _loop()

    def run() -> None:
        for _ in range(FRAMES):
            call()
        loop.call_soon(loop.stop)
        loop.run_forever()

    return run


def workloads() -> Sequence[Workload]:
    """See `Target.workloads`."""
    _loop()
    server, client = _connection(True), _connection(False)
    found = []
    for size in (125, 65536):
        text = b"a" * size
        for name, call in (
            ("server receives text", _receive(server, 1, text, b"four")),
            ("server receives binary", _receive(server, 2, text, b"four")),
            ("client receives text", _receive(client, 1, text, None)),
            ("server sends text", functools.partial(server.sendMessage, text, False)),
            ("client sends text", functools.partial(client.sendMessage, text, False)),
            ("client sends binary", functools.partial(client.sendMessage, text, True)),
        ):
            found.append(Workload(name=name, size=size, run=_turn(call), frames=FRAMES))
    return found


def _receive(
    connection: Any, opcode: int, payload: bytes, masking_key: bytes | None
) -> Callable[[], None]:
    frame = frame_bytes(opcode, payload, masking_key=masking_key)
    return functools.partial(connection._dataReceived, frame)
