"""FrameProtocol and Connection of wsproto, sending through ours: the same bytes, types, errors."""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("wsproto")

from wsproto import events
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import Extension
from wsproto.frame_protocol import FrameProtocol, Opcode, RsvBits

from wsfast import speedups
from wsfast.speedups.selftest import outcome

KEY = b"\x01\x80\x7f\xfe"
SIZES = [0, 1, 2, 3, 4, 31, 64, 125, 126, 127, 1000, 65535, 65536, 70001]


@pytest.fixture(autouse=True)
def fixed_keys() -> Iterator[None]:
    with mock.patch("os.urandom", lambda size: KEY[:size]):
        yield


def check(*runs: Any) -> None:
    """Every call comes to the same with the speedups as without."""
    plain = [outcome(run) for run in runs]
    with speedups.installed("wsproto", strict=True):
        assert [outcome(run) for run in runs] == plain


def released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


PAYLOADS: dict[str, Any] = {
    "bytes": lambda: b"payload",
    "bytearray": lambda: bytearray(b"payload"),
    "memoryview": lambda: memoryview(b"payload"),
    "part of a memoryview": lambda: memoryview(b"payload")[2:5],
    "every other byte": lambda: memoryview(b"payload")[::2],
    "wide items": lambda: memoryview(array.array("I", [1, 2, 3])),
    "two dimensions": lambda: memoryview(bytes(6)).cast("B", (2, 3)),
    "released": released,
    "text": lambda: "plain text",
    "Latin": lambda: "žluťoučký",
    "emoji": lambda: "\U0001f600",
    "surrogate": lambda: "\ud800",
    "empty text": lambda: "",
    "no bytes": lambda: b"",
    "empty memoryview": lambda: memoryview(b""),
    "array": lambda: array.array("B", b"payload"),
    "number": lambda: 5,
    "None": lambda: None,
    "subclass of str": lambda: type("Text", (str,), {})("mine"),
    "subclass of bytes": lambda: type("Data", (bytes,), {})(b"mine"),
}


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("kind", PAYLOADS)
def test_every_type_of_payload(kind: str, client: bool) -> None:
    make = PAYLOADS[kind]
    role = ConnectionType.CLIENT if client else ConnectionType.SERVER

    def parts() -> Any:
        protocol = FrameProtocol(client, [])
        said = [outcome(protocol.send_data, make(), fin) for fin in (False, False, True, True)]
        return said, protocol._outbound_opcode

    check(
        parts,
        lambda: FrameProtocol(client, [])._serialize_frame(Opcode.BINARY, make()),
        lambda: FrameProtocol(client, [])._serialize_frame(Opcode.PING, make(), True),
        lambda: FrameProtocol(client, []).ping(make()),
        lambda: FrameProtocol(client, []).pong(payload=make()),
        lambda: Connection(role).send(events.TextMessage(data=make())),
        lambda: Connection(role).send(events.BytesMessage(data=make())),
        lambda: Connection(role).send(events.Message(data=make(), message_finished=False)),
        lambda: Connection(role).send(event=events.Ping(payload=make())),
        lambda: Connection(role).send(event=events.Pong(payload=make())),
    )


@pytest.mark.parametrize("client", [True, False])
def test_every_size(client: bool) -> None:
    def frames(make: Any) -> Any:
        protocol = FrameProtocol(client, [])
        return [protocol.send_data(make(size)) for size in SIZES]

    check(
        lambda: frames(bytes),
        lambda: frames(lambda size: "x" * size),
        lambda: frames(lambda size: "é" * size),
        lambda: frames(lambda size: memoryview(bytes(size))),
    )


def test_control_frames_are_short() -> None:
    check(
        *(
            lambda size=size, opcode=opcode: FrameProtocol(True, [])._serialize_frame(
                opcode, bytes(size)
            )
            for size, opcode in itertools.product(
                (124, 125, 126, 65536), (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
            )
        )
    )


@pytest.mark.parametrize("fin", [True, False, 1, 0, 2, None, "yes"])
def test_fin_of_any_type(fin: Any) -> None:
    role = ConnectionType.CLIENT
    check(
        lambda: FrameProtocol(True, []).send_data(b"x", fin),
        lambda: FrameProtocol(True, [])._serialize_frame(Opcode.TEXT, b"x", fin),
        lambda: Connection(role).send(events.BytesMessage(data=b"x", message_finished=fin)),
    )


@pytest.mark.parametrize("opcode", [*Opcode, 1, 2, 9, "text", None])
def test_opcodes_of_any_type(opcode: Any) -> None:
    check(
        lambda: FrameProtocol(False, [])._serialize_frame(opcode, b"x"),
        lambda: FrameProtocol(True, [])._serialize_frame(opcode=opcode, payload=b"x", fin=False),
        lambda: FrameProtocol(True, [])._serialize_frame(opcode),
    )


def test_a_message_does_not_change_its_type() -> None:
    def run(*payloads: Any) -> Any:
        protocol = FrameProtocol(True, [])
        return [
            (outcome(protocol.send_data, each, False), protocol._outbound_opcode)
            for each in payloads
        ]

    check(lambda: run("a", b"b", "c"), lambda: run(b"a", "b", b"c"), lambda: run("a", "\ud800"))


def test_types_are_the_librarys() -> None:
    with speedups.installed("wsproto", strict=True):
        assert type(FrameProtocol(True, []).send_data(b"x")) is bytearray
        assert type(Connection(ConnectionType.CLIENT).send(events.Ping())) is bytes


def test_what_is_sent_stays_as_it_is() -> None:
    data = bytearray(b"payload")
    with speedups.installed("wsproto", strict=True):
        protocol = FrameProtocol(True, [])
        frame = protocol.send_data(data)
        assert data == b"payload"
        data[:] = b"changed"
        assert frame == protocol.send_data(b"payload")
        data.append(0)  # it is not locked any more


class Turning(Extension):
    """Turns payloads around, and says what it is told to about RSV."""

    name = "turning"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def offer(self) -> bool:
        return True

    def enabled(self) -> bool:
        return True

    def frame_outbound(self, proto: Any, opcode: Any, rsv: Any, data: Any, fin: bool) -> Any:
        self.asked.append((type(proto), opcode, rsv, type(data), bytes(data), fin))
        return self.answer(rsv, bytes(data))


ANSWERS: dict[str, Any] = {
    "turned": lambda rsv, data: (RsvBits(True, False, True), data[::-1]),
    "bytearray": lambda rsv, data: (rsv, bytearray(data)),
    "memoryview": lambda rsv, data: (rsv, memoryview(data)),
    "text": lambda rsv, data: (rsv, "text"),
    "nothing": lambda rsv, data: (rsv, None),
    "no answer": lambda rsv, data: None,
    "numbers for RSV": lambda rsv, data: (RsvBits(1, 0, 1), data),
    "a tuple for RSV": lambda rsv, data: ((True, True, True), data),
    "odd RSV": lambda rsv, data: (RsvBits(None, "x", 2), data),
    "longer": lambda rsv, data: (rsv, data + bytes(200)),
}


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("answer", ANSWERS)
def test_extensions_are_asked_as_by_the_original(answer: str, count: int, client: bool) -> None:
    role = ConnectionType.CLIENT if client else ConnectionType.SERVER

    def run() -> Any:
        extensions = [Turning(ANSWERS[answer]) for _ in range(count)]
        made = Connection(role, extensions)
        messages = [
            events.TextMessage(data="text"),
            events.TextMessage(data="ť", message_finished=False),
            events.TextMessage(data="", message_finished=True),
            events.BytesMessage(data=bytearray(b"data")),
            events.Ping(payload=b"ping"),
        ]
        said = [outcome(made.send, each) for each in messages]
        said.append(outcome(made._proto._serialize_frame, Opcode.BINARY, memoryview(b"view")))
        return said, [each.asked for each in extensions]

    check(run)


def test_an_error_in_an_extension_is_passed_on() -> None:
    def fail(*_: Any) -> Any:
        raise LookupError("mine")

    def run() -> Any:
        made = Connection(ConnectionType.CLIENT, [Turning(fail)])
        event = events.TextMessage(data="x", message_finished=False)
        return outcome(made.send, event), made._proto._outbound_opcode

    check(run)


@pytest.mark.parametrize(
    "event",
    [
        events.CloseConnection(code=1000, reason="bye"),
        events.CloseConnection(code=1005),
        events.CloseConnection(code=1000, reason="ž" * 100),
        events.RejectData(data=b"x"),
        events.Event(),
        None,
        type("Mine", (events.TextMessage,), {})(data="mine"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_other_events_are_the_originals(event: Any) -> None:
    def run() -> Any:
        made = Connection(ConnectionType.CLIENT)
        said = outcome(made.send, event), made.state
        after = [events.TextMessage(data="x"), events.Ping(), events.CloseConnection(code=1000)]
        return said, [outcome(made.send, each) for each in after], made.state

    check(run)


def test_a_source_that_fails_is_passed_on() -> None:
    with speedups.installed("wsproto", strict=True):
        client = Connection(ConnectionType.CLIENT)
        with mock.patch("os.urandom", side_effect=OSError("no entropy")):
            with pytest.raises(OSError, match="no entropy"):
                client.send(events.TextMessage(data="x"))
        assert client.send(events.TextMessage(data="x"))[:2] == b"\x81\x81"
