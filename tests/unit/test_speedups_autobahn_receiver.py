"""autobahn's processData, ours against its own: every kind of frame, and who is asked of it."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("autobahn")

from autobahn.asyncio import websocket as adapters
from autobahn.websocket import protocol
from autobahn.websocket.compress import PerMessageDeflate
from autobahn.websocket.protocol import WebSocketProtocol

from wsfast import speedups
from wsfast.speedups.autobahn_receiver import FIELDS, HOOKS
from wsfast.speedups.autobahn_selftest import snapshot
from wsfast.speedups.selftest import frame_bytes

KEY = b"\x12\x34\x56\x78"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
masked = functools.partial(frame_bytes, masking_key=KEY)


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    with mock.patch.object(protocol.txaio.config, "loop", loop):
        yield loop
    loop.close()


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with speedups.installed("autobahn", strict=True):
        yield


def original(name: str) -> Any:
    return speedups.registry.library("autobahn").originals[f"autobahn.websocket.protocol:{name}"]


class Listening:
    """What an application does with a connection: it writes down what it hears."""

    def onMessage(self: Any, payload: bytes, isBinary: bool) -> None:
        self.heard.append((type(payload), payload, isBinary, snapshot(self)))

    def dropConnection(self: Any, abort: bool = False) -> None:
        self.heard.append(("dropped", abort))
        self.state = self.STATE_CLOSED


def connection_of(is_server: bool = True, *bases: type, **options: Any) -> Any:
    """An open connection of the asyncio adapter, over nothing."""
    role = "Server" if is_server else "Client"
    kind = type("Connection", (*bases, Listening, adapter(role, "Protocol")), {})
    connection = kind()
    loop = protocol.txaio.config.loop
    connection.factory = adapter(role, "Factory")("ws://127.0.0.1:9", loop=loop)
    connection.factory.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0)
    connection.heard = []
    connection.transport = SimpleNamespace(write=mock.Mock(), close=mock.Mock())
    connection._connectionMade()
    for name, value in {"websocket_version": 13, "inside_message": False, **options}.items():
        setattr(connection, name, value)
    connection.current_frame = None
    connection.state = connection.STATE_OPEN
    return connection


def adapter(role: str, what: str) -> Any:
    return getattr(adapters, f"WebSocket{role}{what}")


class Theirs:
    """Has a connection receive as it does without us."""

    def processData(self) -> bool:
        return original("WebSocketProtocol.processData")(self)


def both(parts: list[bytes], *bases: type, is_server: bool = True, **options: Any) -> Any:
    """Feed the same to a connection with ours and to one with theirs; return what was heard."""
    told = []
    for each in (bases, (Theirs, *bases)):
        connection = connection_of(is_server, *each, **options)
        random.seed(20)  # where masking keys come from
        seen: list[Any] = []
        for part in parts:
            try:
                connection._dataReceived(part)
            except Exception as error:
                seen.append((type(error), str(error)))
            seen.append(snapshot(connection))
        told.append((connection.heard, seen, connection.transport.write.call_args_list))
    ours, theirs = told
    assert ours == theirs
    return ours[0]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# --- what is received --------------------------------------------------------------------------

STREAMS = {
    "empty": masked(TEXT, b""),
    "text": masked(TEXT, "žluť 漢字 \U0001f600".encode()),
    "binary": masked(BINARY, bytes(range(256))),
    "125 bytes": masked(BINARY, bytes(125)),
    "126 bytes": masked(BINARY, bytes(126)),
    "70000 bytes": masked(TEXT, b"a" * 70_000),
    "three": masked(TEXT, b"one") + masked(BINARY, b"two") + masked(TEXT, b"three"),
    "fragments": masked(TEXT, b"\xc5", fin=False)
    + masked(0, b"\xbe", fin=False)
    + masked(0, b"")
    + masked(BINARY, b"next"),
    "a ping in fragments": masked(TEXT, b"a", fin=False) + masked(PING, b"?") + masked(0, b"b"),
    "pong": masked(PONG, b"!") + masked(TEXT, b"text"),
    "close": masked(TEXT, b"text") + masked(CLOSE, b"\x03\xe8bye") + masked(TEXT, b"more"),
    "bad text": masked(TEXT, b"good \xff") + masked(TEXT, b"more"),
    "bad second fragment": masked(TEXT, b"\xc5", fin=False) + masked(0, b"A") + masked(TEXT, b"b"),
    "cut text": masked(TEXT, b"cut \xe6\xbc") + masked(TEXT, b"more"),
    "bad text, then fragments": masked(TEXT, b"\xff", fin=False) + masked(0, b"more"),
    "unmasked": frame_bytes(TEXT, b"text") + masked(TEXT, b"more"),
    "reserved bit": masked(TEXT, b"text", rsv=2) + masked(TEXT, b"more"),
    "reserved opcode": masked(3, b"text") + masked(TEXT, b"more"),
    "length not minimal": masked(TEXT, b"text", length_form=16) + masked(TEXT, b"more"),
    "continuation of nothing": masked(0, b"text") + masked(TEXT, b"more"),
    "text in fragments": masked(TEXT, b"a", fin=False) + masked(TEXT, b"b") + masked(0, b"c"),
    "long ping": masked(PING, bytes(126)) + masked(TEXT, b"more"),
    "close of one byte": masked(CLOSE, b"\x03"),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("fail_by_drop", [True, False])
def test_streams_whole(stream: bytes, fail_by_drop: bool) -> None:
    both([stream], failByDrop=fail_by_drop)


@pytest.mark.parametrize("stream", [s for s in STREAMS.values() if len(s) < 1000])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_streams_cut(stream: bytes, size: int) -> None:
    both(cut(stream, size), failByDrop=False)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_streams_at_a_client(stream: bytes) -> None:
    """Which wants no masks; with acceptMaskedServerFrames it takes them."""
    both([stream], is_server=False)
    both([stream], is_server=False, acceptMaskedServerFrames=True)
    both([frame_bytes(TEXT, b"text"), frame_bytes(BINARY, b"")], is_server=False)


@pytest.mark.parametrize(
    "options",
    [
        {"utf8validateIncoming": False},
        {"applyMask": False},
        {"requireMaskedClientFrames": False},
        {"logFrames": True},
        {"maxFramePayloadSize": 3},
        {"maxMessagePayloadSize": 4},
        {"websocket_version": 0},
        {"failedByMe": True},
        {"inside_message": True, "_isMessageCompressed": False},
        {"autoPingTimeoutCall": SimpleNamespace(cancel=lambda: None), "autoPingInterval": 0},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_options(stream: bytes, options: dict[str, Any]) -> None:
    both([stream], **options)


@pytest.mark.parametrize("name", ["STATE_CLOSING", "STATE_CLOSED"])
def test_other_states_are_left_to_theirs(name: str) -> None:
    for bases in ((), (Theirs,)):
        connection = connection_of(True, *bases)
        connection.state = getattr(WebSocketProtocol, name)
        connection._dataReceived(masked(TEXT, b"text"))
        heard = [each[1] for each in connection.heard]
        assert heard == ([b"text"] if name == "STATE_CLOSING" else [])
        assert connection.trafficStats.incomingWebSocketMessages == 0


def test_compressed_messages_are_left_to_theirs() -> None:
    for bases in ((), (Theirs,)):
        connection = connection_of(True, *bases)
        connection._perMessageCompress = PerMessageDeflate(True, False, False, 15, 15, 8)
        sender = PerMessageDeflate(False, False, False, 15, 15, 8)
        sender.start_compress_message()
        data = sender.compress_message_data(b"text" * 100) + sender.end_compress_message()
        connection._dataReceived(
            masked(TEXT, data[:9], rsv=4, fin=False) + masked(0, data[9:]) + masked(TEXT, b"plain")
        )
        assert [each[1] for each in connection.heard] == [b"text" * 100, b"plain"]


# --- how it is received ------------------------------------------------------------------------


def test_one_call_takes_a_whole_frame_and_asks_nobody() -> None:
    connection = connection_of()
    connection.data = masked(TEXT, b"one") + masked(TEXT, b"two") + masked(TEXT, b"cut")[:-1]
    rest = connection.data[9:]
    with mock.patch.object(protocol.txaio, "create_future", side_effect=AssertionError):
        assert connection.processData() is True
        assert connection.data == rest
        assert connection.processData() is True
    assert [each[1] for each in connection.heard] == [b"one", b"two"]
    assert connection.processData() is True, "theirs, which takes the header"
    assert connection.current_frame.length == 3


def test_the_attributes_while_a_message_is_handed_over() -> None:
    connection = connection_of()
    connection._dataReceived(masked(TEXT, b"a", fin=False) + masked(0, b"b") + masked(TEXT, b"c"))
    seen = connection.heard[0][3]
    assert seen["inside_message"] is True and seen["message_data"] == [b"a", b"b"]
    assert seen["frame"] == {"opcode": 0, "fin": True, "rsv": 0, "length": 1, "mask": KEY}
    assert seen["frame types"] == [int, bool, int, int, bytes]
    assert seen["data"] == masked(TEXT, b"c") and seen["frame_data"] is None
    assert seen["utf8validateLast"] == (True, True, 1, 2)


class Raising:
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        raise RuntimeError(payload)


def test_an_error_of_the_application_leaves_the_same_state() -> None:
    both([masked(TEXT, b"one") + masked(TEXT, b"two"), masked(TEXT, b"three")], Raising)


class Closing:
    """Closes in its first message."""

    def onMessage(self: Any, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)  # type: ignore[misc]
        if payload == b"close":
            self.sendClose(1000, "enough")
        if payload == b"drop":
            self.dropConnection()


def test_the_application_may_close_and_drop() -> None:
    for word in (b"close", b"drop"):
        heard = both([masked(TEXT, word) + masked(TEXT, b"more")], Closing)
        assert heard[0][1] == word


class Nested:
    """Hands the connection more data while it is in a message."""

    def onMessage(self: Any, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)  # type: ignore[misc]
        if payload == b"outer" and len(self.heard) < 3:
            self.data += masked(TEXT, b"inner")


def test_data_that_comes_in_the_middle_of_a_message() -> None:
    heard = both([masked(TEXT, b"outer") + masked(TEXT, b"next")], Nested)
    assert [each[1] for each in heard] == [b"outer", b"next", b"inner"]


def test_a_coroutine_of_the_application_is_started(loop: asyncio.AbstractEventLoop) -> None:
    heard: list[bytes] = []

    class Coroutine:
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            heard.append(payload)

    connection = connection_of(True, Coroutine)
    started: list[Any] = []
    with mock.patch.object(adapters.asyncio, "ensure_future", started.append):
        connection._dataReceived(masked(TEXT, b"text"))
    assert not heard
    loop.run_until_complete(started[0])
    assert heard == [b"text"]


# --- who is still asked ------------------------------------------------------------------------


def recording(name: str) -> type:
    """A base class that overrides a hook, and writes down that it was called."""

    def hook(self: Any, *given: Any, **named: Any) -> Any:
        self.heard.append((name, given))
        return getattr(super(base, self), name)(*given, **named)

    base = type("Recording", (), {name: hook})
    return base


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_a_class_overrides_is_called(name: str) -> None:
    heard = both([STREAMS["fragments"], STREAMS["a ping in fragments"]], recording(name))
    assert any(each[0] == name for each in heard)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_of_the_instance_is_called(name: str) -> None:
    connection = connection_of()
    hook = mock.Mock(wraps=getattr(connection, name))
    setattr(connection, name, hook)
    connection._dataReceived(masked(TEXT, b"text"))
    assert hook.called and [each[1] for each in connection.heard] == [b"text"]


@pytest.mark.parametrize("name", [each for each in HOOKS if not each.startswith("_")])
def test_a_hook_that_is_replaced_in_the_library_is_called(name: str) -> None:
    connection = connection_of()
    connection._dataReceived(masked(TEXT, b"before"))
    owner = WebSocketProtocol if name in vars(WebSocketProtocol) else WebSocketProtocol.__mro__[1]
    genuine = vars(owner)[name]
    with mock.patch.object(owner, name, autospec=True, side_effect=genuine) as hook:
        connection._dataReceived(masked(TEXT, b"text"))
        assert hook.called
    connection._dataReceived(masked(TEXT, b"after"))
    assert [each[1] for each in connection.heard] == [b"before", b"text", b"after"]


def test_a_class_that_comes_while_a_hook_is_replaced_is_served_afterwards() -> None:
    genuine = WebSocketProtocol.onFrameEnd
    with mock.patch.object(WebSocketProtocol, "onFrameEnd", autospec=True, side_effect=genuine):
        connection = connection_of()
        connection._dataReceived(masked(TEXT, b"text"))
        assert WebSocketProtocol.onFrameEnd.called
    with mock.patch.object(protocol.txaio, "create_future", side_effect=AssertionError):
        connection._dataReceived(masked(TEXT, b"more"))
    assert [each[1] for each in connection.heard] == [b"text", b"more"]


def test_a_listener_for_messages_is_told(loop: asyncio.AbstractEventLoop) -> None:
    connection = connection_of()
    told: list[Any] = []
    connection.on("message", lambda payload, is_binary: told.append((payload, is_binary)))
    with mock.patch.object(asyncio, "gather", lambda *given, **named: loop.create_future()):
        connection._dataReceived(masked(TEXT, b"text"))
    assert told == [(b"text", False)]


def test_timings_are_tracked() -> None:
    connection = connection_of()
    connection.setTrackTimings(True)
    connection._dataReceived(masked(TEXT, b"text"))
    assert set(connection.trackedTimings) == {"onMessageBegin", "onMessage"}


def test_an_option_of_the_class_counts() -> None:
    class Limited:
        maxMessagePayloadSize = 3

    heard = both([masked(TEXT, b"four")], Limited)
    assert heard and heard[0][0] == "dropped"


@pytest.mark.parametrize("name", FIELDS)
def test_a_property_in_the_place_of_an_attribute_is_used(name: str) -> None:
    kept = f"_kept_{name}"
    read = property(
        lambda self: self.__dict__[kept], lambda self, value: self.__dict__.update({kept: value})
    )
    heard: list[bytes] = []
    hear = {"onMessage": lambda self, payload, isBinary: heard.append(payload)}
    connection = connection_of(True, type("WithProperty", (), {name: read, **hear}))
    if name == "_listeners":
        connection._listeners = None
    connection._dataReceived(masked(TEXT, b"text"))
    assert heard == [b"text"] and name not in connection.__dict__


def test_another_masker_is_used() -> None:
    made: list[Any] = []

    def create(mask: bytes, length: int | None = None) -> Any:
        made.append((mask, length))
        return original("create_xor_masker")(mask, length)

    connection = connection_of()
    with mock.patch.object(protocol, "create_xor_masker", create):
        connection._dataReceived(masked(TEXT, b"text"))
    assert made == [(KEY, 4)] and connection.heard[0][1] == b"text"


def test_a_validator_from_before_is_used() -> None:
    connection = connection_of()
    connection.utf8validator = old = mock.Mock(wraps=original("Utf8Validator")())
    connection._dataReceived(masked(TEXT, b"text") + masked(BINARY, b"\xff"))
    assert old.reset.called and old.validate.call_args_list == [mock.call(b"text")]
    assert [each[1] for each in connection.heard] == [b"text", b"\xff"]


def test_a_class_with_an_adapter_of_its_own_is_left_to_theirs() -> None:
    class Own(WebSocketProtocol):  # type: ignore[misc]
        onFrameBegin = mock.Mock()

    own = Own.__new__(Own)
    own.data, own.current_frame = masked(TEXT, b"text"), None
    own.factory = SimpleNamespace(isServer=True)
    own.requireMaskedClientFrames = own.applyMask = True
    own.inside_message, own._perMessageCompress = False, None
    assert own.processData() is True
    assert Own.onFrameBegin.called and own.current_frame.length == 4


def test_many_classes() -> None:
    """What is known of a class is forgotten before it piles up."""
    makers: list[Callable[[], Any]] = [connection_of] * 300
    for make in makers:
        connection = make()
        connection._dataReceived(masked(TEXT, b"text"))
        assert connection.heard[0][1] == b"text"
