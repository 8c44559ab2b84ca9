"""autobahn's sendMessage, sendFrame and sendData, ours against its own: bytes and errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("autobahn")

import txaio
from autobahn.asyncio import websocket as adapters
from autobahn.websocket import protocol
from autobahn.websocket.compress import PerMessageDeflate
from autobahn.websocket.protocol import WebSocketProtocol

from ids import shown
from reference import mask
from wsfast import speedups
from wsfast.speedups.autobahn_sender import FIELDS, HOOKS

NAMES = ("sendData", "sendFrame", "sendMessage")
SIZES = [0, 1, 125, 126, 65535, 65536]


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


class Transport:
    """Keeps what is written; may close the connection while it is written to."""

    def __init__(self) -> None:
        self.written: list[tuple[type, bytes]] = []
        self.then: Any = None

    def write(self, data: bytes) -> None:
        self.written.append((type(data), bytes(data)))
        if self.then is not None:
            self.then()


def theirs() -> type:
    """Has a connection send as it does without us."""
    originals = speedups.registry.library("autobahn").originals
    prefix = "autobahn.websocket.protocol:WebSocketProtocol."
    return type("Theirs", (), {name: originals[prefix + name] for name in NAMES})


def connection_of(is_server: bool = True, *bases: type, **options: Any) -> Any:
    """An open connection of the asyncio adapter."""
    role = "Server" if is_server else "Client"
    connection = type("Connection", (*bases, adapter(role, "Protocol")), {})()
    factory = adapter(role, "Factory")("ws://127.0.0.1:9", loop=protocol.txaio.config.loop)
    factory.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0)
    connection.factory, connection.transport = factory, Transport()
    connection._connectionMade()
    connection.state, connection.websocket_version = connection.STATE_OPEN, 13
    for name, value in options.items():
        setattr(connection, name, value)
    return connection


def adapter(role: str, what: str) -> Any:
    return getattr(adapters, f"WebSocket{role}{what}")


def both(
    name: str, *given: Any, is_server: bool, bases: tuple[type, ...] = (), **named: Any
) -> list[tuple[type, bytes]]:
    """Call it with ours and with theirs; the result, the error, the bytes and counters agree."""
    options = named.pop("options", {})
    told = []
    for each in (bases, (*bases, theirs())):
        connection = connection_of(is_server, *each, **options)
        random.seed(7)  # where autobahn's masking keys come from
        try:
            result: Any = getattr(connection, name)(*given, **named)
        except Exception as error:
            result = (type(error), str(error))
        counters = vars(connection.trafficStats)
        told.append((result, connection.transport.written, counters, connection.send_state))
    assert told[0] == told[1]
    return connection.transport.written  # type: ignore[no-any-return]


ROLES = pytest.mark.parametrize("is_server", [True, False], ids=["server", "client"])


# --- messages and frames -----------------------------------------------------------------------


@ROLES
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_binary", [True, False])
def test_messages(is_server: bool, size: int, is_binary: bool) -> None:
    payload = random.Random(size).randbytes(size)
    ((kind, frame),) = both("sendMessage", payload, is_binary, is_server=is_server)
    assert kind is bytes and frame[0] == (0x82 if is_binary else 0x81)
    assert len(frame) == size + (2 if size < 126 else 4 if size < 65536 else 10) + 4 * (
        not is_server
    )


def test_the_masking_key_is_the_librarys() -> None:
    """Which the application can seed, as the library says where it takes it."""
    ((_, frame),) = both("sendMessage", b"payload", True, is_server=False)
    random.seed(7)
    key = random.getrandbits(32).to_bytes(4, "big")
    assert frame == b"\x82\x87" + key + mask(b"payload", key)


def test_another_source_of_keys_is_used() -> None:
    source = SimpleNamespace(getrandbits=lambda bits: 0x01020304)
    connection = connection_of(False)
    with mock.patch.object(protocol, "random", source):
        connection.sendMessage(b"\0\0\0\0", True)
    assert connection.transport.written == [(bytes, b"\x82\x84" + b"\1\2\3\4" * 2)]


@ROLES
@pytest.mark.parametrize("opcode", range(17))
@pytest.mark.parametrize(("fin", "rsv"), [(True, 0), (False, 4), (1, 7), (0, 8), (True, -1)])
def test_frames(is_server: bool, opcode: int, fin: Any, rsv: int) -> None:
    both("sendFrame", opcode, b"payload", fin, rsv, is_server=is_server)


@ROLES
@pytest.mark.parametrize(
    "named",
    [
        {},
        {"payload": b""},
        {"payload": bytearray(b"bytes")},
        {"payload": memoryview(b"bytes")},
        {"payload": "text"},
        {"payload": b"abc", "payload_len": 7},
        {"payload": b"", "payload_len": 7},
        {"payload": b"abc", "mask": b"1234"},
        {"payload": b"abc", "mask": b""},
        {"payload": b"abc", "mask": b"12"},
        {"payload": b"abc", "rsv": True},
    ],
    ids=shown,
)
def test_frames_of_every_kind(is_server: bool, named: dict[str, Any]) -> None:
    both("sendFrame", 2, is_server=is_server, **named)


@ROLES
@pytest.mark.parametrize(
    "options",
    [
        {"maskServerFrames": True},
        {"maskClientFrames": False},
        {"applyMask": False},
        {"autoFragmentSize": 3},
        {"autoFragmentSize": 7},
        {"autoFragmentSize": 100},
        {"autoFragmentSize": -1},
        {"maxMessagePayloadSize": 6},
        {"maxMessagePayloadSize": 7},
        {"logFrames": True, "logOctets": True},
    ],
    ids=shown,
)
def test_options(is_server: bool, options: dict[str, Any]) -> None:
    both("sendMessage", b"payload", is_server=is_server, options=options)
    both("sendPing", b"payload", is_server=is_server, options=options)


@ROLES
@pytest.mark.parametrize(
    "given",
    [
        ("text",),
        (bytearray(b"bytes"),),
        (b"payload", 1),
        (b"payload", None),
        (b"payload", True, 3),
        (b"payload", True, 0),
        (b"payload", True, "3"),
        (b"payload", True, None, 0),
        (b"payload", True, None, False, 1),
        (b"payload", True, None, False, True),
    ],
    ids=shown,
)
def test_arguments_of_every_kind(is_server: bool, given: tuple[Any, ...]) -> None:
    both("sendMessage", *given, is_server=is_server)


@ROLES
@pytest.mark.parametrize("state", ["CLOSED", "CONNECTING", "CLOSING", "PROXY_CONNECTING"])
def test_other_states(is_server: bool, state: str) -> None:
    options = {"state": getattr(WebSocketProtocol, f"STATE_{state}")}
    both("sendMessage", b"payload", is_server=is_server, options=options)
    both("sendFrame", 2, b"payload", is_server=is_server, options=options)
    both("sendData", b"data", is_server=is_server, options=options)


@ROLES
def test_control_frames(is_server: bool) -> None:
    for name in ("sendPing", "sendPong"):
        assert both(name, b"payload", is_server=is_server)
        assert both(name, is_server=is_server)
        assert not both(name, bytes(126), is_server=is_server)
    both("sendClose", 1000, "bye", is_server=is_server)


def test_a_prepared_message() -> None:
    factory = connection_of().factory
    assert both("sendPreparedMessage", factory.prepareMessage(b"text"), is_server=True)


def test_a_message_in_parts() -> None:
    for bases in ((), (theirs(),)):
        connection = connection_of(True, *bases)
        connection.beginMessage()
        connection.beginMessageFrame(4)
        connection.sendMessageFrameData(b"te")
        connection.sendMessageFrameData(b"xt")
        connection.endMessage()
        data = b"".join(each for _, each in connection.transport.written)
        assert data == b"\x01\x04text\x80\x00"


def test_compressed_messages_are_left_to_theirs() -> None:
    def compression() -> Any:
        return PerMessageDeflate(True, False, False, 15, 15, 8)

    payload = b"payload" * 20
    for named, first in (({}, 0xC1), ({"doNotCompress": True}, 0x81)):
        connection = connection_of(True, _perMessageCompress=compression())
        connection.sendMessage(payload, **named)
        assert connection.transport.written[0][1][0] == first


def test_timings_are_tracked() -> None:
    connection = connection_of()
    connection.setTrackTimings(True)
    connection.sendMessage(b"payload")
    assert set(connection.trackedTimings) == {"sendMessage"}


# --- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"data", bytearray(b"data")])
def test_data_goes_to_the_transport_as_it_is(data: Any) -> None:
    assert both("sendData", data, is_server=True) == [(type(data), bytes(data))]


@pytest.mark.parametrize("named", [{"sync": True}, {"chopsize": 3}])
def test_queued_data_comes_first(loop: asyncio.AbstractEventLoop, named: dict[str, Any]) -> None:
    for bases in ((), (theirs(),)):
        connection = connection_of(True, *bases)
        connection.sendData(b"first", **named)
        connection.sendMessage(b"second")
        while connection.triggered:
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert b"".join(each for _, each in connection.transport.written) == b"first\x81\x06second"


@pytest.mark.parametrize("state", ["STATE_CLOSED", "STATE_CONNECTING", "STATE_OPEN"])
def test_the_state_after_the_write_counts(state: str) -> None:
    seen = []
    for bases in ((), (theirs(),)):
        connection = connection_of(True, *bases)
        connection.transport.then = lambda each=connection: setattr(
            each, "state", getattr(WebSocketProtocol, state)
        )
        connection.sendMessage(b"payload")
        seen.append(vars(connection.trafficStats))
    assert seen[0] == seen[1]


def test_an_error_of_the_transport_comes_through() -> None:
    def gone() -> None:
        raise OSError("gone")

    seen = []
    for bases in ((), (theirs(),)):
        connection = connection_of(True, *bases)
        connection.transport.then = gone
        with pytest.raises(OSError, match="gone"):
            connection.sendMessage(b"payload")
        seen.append(vars(connection.trafficStats))
    assert seen[0] == seen[1]


def test_the_debug_log_says_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    before = txaio.get_global_log_level()
    txaio.set_global_log_level("debug")
    said = []
    try:
        for bases in ((), (theirs(),)):
            connection = connection_of(True, *bases, logFrames=True, logOctets=True)
            caplog.clear()
            with caplog.at_level("DEBUG"):
                connection.sendMessage(b"payload")
            said.append([each.getMessage() for each in caplog.records])
    finally:
        txaio.set_global_log_level(before)
    assert said[0] == said[1] and any("sent" in each for each in said[0])
    assert len(said[0]) == 3


def test_a_log_of_the_application_is_told() -> None:
    connection = connection_of(log=mock.Mock())
    connection.sendMessage(b"payload")
    assert connection.log.debug.called


# --- who is still asked ------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOOKS)
def test_a_method_that_a_class_overrides_is_called(name: str) -> None:
    called: list[Any] = []

    def method(self: Any, *given: Any, **named: Any) -> Any:
        called.append((given, named))
        return getattr(super(base, self), name)(*given, **named)

    base = type("Overriding", (), {name: method})
    both("sendMessage", b"payload", is_server=True, bases=(base,))
    assert len(called) == 2 and called[0] == called[1]


@pytest.mark.parametrize("name", HOOKS)
def test_a_method_of_the_instance_is_called(name: str) -> None:
    connection = connection_of()
    setattr(connection, name, mock.Mock())
    connection.sendMessage(b"payload")
    assert getattr(connection, name).called and not connection.transport.written


@pytest.mark.parametrize("name", HOOKS)
def test_a_method_that_is_replaced_in_the_library_is_called(name: str) -> None:
    for known in (connection_of(), None):
        if known is not None:
            known.sendMessage(b"before")
        with mock.patch.object(WebSocketProtocol, name) as method:
            (known or connection_of()).sendMessage(b"payload")
            assert method.called


def test_the_hook_for_octets_is_called() -> None:
    octets: list[Any] = []

    class Logging:
        logOctets = True

        def logTxOctets(self, data: bytes, sync: bool) -> None:
            octets.append((data, sync))

    both("sendMessage", b"payload", is_server=True, bases=(Logging,))
    assert octets == [(b"\x81\x07payload", False)] * 2


@pytest.mark.parametrize("name", FIELDS)
def test_a_connection_without_an_attribute_fails_as_theirs(name: str) -> None:
    told = []
    for bases in ((), (theirs(),)):
        connection = connection_of(True, *bases)
        vars(connection).pop(name, None)
        try:
            told.append(connection.sendMessage(b"payload"))
        except AttributeError as error:
            told.append(str(error))
    assert told[0] == told[1]


def test_a_base_that_has_a_factory_too_is_served() -> None:
    """As Twisted's Protocol, where it is None until a factory makes a connection."""

    class Base:
        factory = None

    connection = connection_of(True, Base)
    with mock.patch.object(protocol, "hltype", side_effect=AssertionError):
        connection.sendMessage(b"payload")
        connection.sendData(b"data")
    assert connection.transport.written == [(bytes, b"\x81\x07payload"), (bytes, b"data")]


def test_many_classes() -> None:
    for _ in range(300):
        connection = connection_of()
        connection.sendMessage(b"x")
        assert connection.transport.written == [(bytes, b"\x81\x01x")]
