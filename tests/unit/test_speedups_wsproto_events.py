"""Connection of wsproto, receiving through ours: events, states, and everything on the way."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("wsproto")

import wsproto
from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import ParseFailed

from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome, typed
from wsfast.speedups.wsproto_events import EventIterator

KEY = b"\x01\x80\x7f\xfe"


def frame(opcode: int, payload: bytes, **options: Any) -> bytes:
    return frame_bytes(opcode, payload, masking_key=KEY, **options)


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("wsproto", strict=True):
        yield


STREAMS = {
    "text": frame(1, b"plain") + frame(1, "žluť".encode()) + frame(1, b""),
    "binary": frame(2, b"\x00\xff") + frame(2, b"") + frame(2, bytes(70_000)),
    "control": frame(9, b"ping") + frame(10, b"pong") + frame(9, b""),
    "fragments": frame(1, b"a", fin=False) + frame(9, b"?") + frame(0, b"b"),
    "close": frame(8, b"\x03\xe8bye") + frame(1, b"late"),
    "private close": frame(8, b"\x0f\xa0"),
    "close without a code": frame(8, b""),
    "bad close": frame(8, b"\x03"),
    "bad text": frame(1, b"good") + frame(1, b"bad \xff") + frame(1, b"late"),
    "bad opcode": frame(5, b""),
    "unmasked": frame_bytes(1, b"plain"),
    "long control": frame(9, bytes(126)),
}


def described(event: Any) -> Any:
    """The class and the fields, with their types and in their order."""
    assert dataclasses.is_dataclass(event)
    return type(event), typed(list(vars(event).items()))


def heard(connection: Any, pieces: list[bytes]) -> list[Any]:
    found: list[Any] = []
    for piece in pieces:
        found.append(outcome(connection.receive_data, piece))
        found += [described(each) for each in connection.events()]
        found.append(connection.state)
    return found


def in_pieces(stream: bytes, cut: int) -> list[bytes]:
    return [stream[start : start + cut] for start in range(0, len(stream), cut)]


def server(*, closing: bool = False) -> Connection:
    made = Connection(ConnectionType.SERVER)
    if closing:
        made.send(events.CloseConnection(code=1000))
    return made


@pytest.mark.parametrize("closing", [False, True])
def test_events_and_states_are_the_librarys(closing: bool) -> None:
    def run() -> list[Any]:
        return [
            heard(server(closing=closing), in_pieces(stream, cut))
            for stream in STREAMS.values()
            for cut in ((1, 2, 3, 7, 10**6) if len(stream) < 1000 else (5000, 10**6))
        ]

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain


def test_the_end_of_the_stream_is_the_librarys() -> None:
    def run() -> Any:
        made = server()
        made.receive_data(None)
        return heard(made, []), [*map(described, made.events())], outcome(made.receive_data, b"x")

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain


def test_queued_events_come_first(fast: None) -> None:
    made = server()
    made.receive_data(frame(1, b"later"))
    made._events.extend([events.Ping(b"1"), events.Ping(b"2")])
    first, *rest = made.events()
    assert first == events.Ping(b"1")
    assert [type(each) for each in rest] == [events.Ping, events.TextMessage]


def test_events_are_what_their_constructor_makes(fast: None) -> None:
    made = server()
    made.receive_data(frame(1, b"text") + frame(2, b"data") + frame(9, b"?") + frame(10, b"!"))
    text, binary, ping, pong = made.events()
    assert text == events.TextMessage(data="text", frame_finished=True, message_finished=True)
    assert binary == events.BytesMessage(data=b"data")
    assert ping == events.Ping(payload=b"?") and ping.response() == events.Pong(payload=b"?")
    assert pong == events.Pong(payload=b"!")
    for each in (text, ping, pong):
        assert repr(each) == repr(type(each)(**vars(each)))
        assert hash(each) == hash(type(each)(**vars(each)))
        assert copy.copy(each) == pickle.loads(pickle.dumps(each)) == each
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.data = "other"
    assert dataclasses.replace(text, data="new").data == "new"


def test_nothing_is_read_before_it_is_asked_for(fast: None) -> None:
    made = server()
    made.receive_data(frame(1, b"one") + frame(8, b"\x03\xe8") + frame(1, b"late"))
    found = made.events()
    assert type(found) is EventIterator
    assert next(found).data == "one"
    assert made.state is ConnectionState.OPEN
    assert next(found).code == 1000
    assert made.state is ConnectionState.REMOTE_CLOSING
    assert list(found) == [] and list(made.events()) == []


def test_answers_between_two_events(fast: None) -> None:
    made = server()
    made.receive_data(frame(9, b"1") + frame(8, b"\x03\xe8bye"))
    sent = [made.send(each.response()) for each in made.events()]
    assert sent == [frame_bytes(10, b"1"), frame_bytes(8, b"\x03\xe8bye")]
    assert made.state is ConnectionState.CLOSED


def test_two_iterators_share_the_frames(fast: None) -> None:
    made = server()
    made.receive_data(frame(1, b"1") + frame(1, b"2") + frame(1, b"3"))
    left, right = made.events(), made.events()
    assert [next(left).data, next(right).data, next(left).data] == ["1", "2", "3"]
    assert list(right) == list(left) == []


def test_an_iterator_that_is_dropped_loses_nothing(fast: None) -> None:
    made = server()
    made.receive_data(frame(1, b"1") + frame(1, b"2"))
    assert next(iter(made.events())).data == "1"
    assert [each.data for each in made.events()] == ["2"]


def test_somebody_elses_protocol_is_asked(fast: None) -> None:
    made = server()
    made._proto = mock.Mock()
    made._proto.received_frames.return_value = iter(())
    made.receive_data(b"anything")
    made._proto.receive_bytes.assert_called_once_with(b"anything")
    assert list(made.events()) == []
    made._proto.received_frames.side_effect = ParseFailed("mine")
    (close,) = made.events()
    assert (close.code, close.reason) == (1002, "mine")


def test_the_handshakes_events_come_first(fast: None) -> None:
    whole = wsproto.WSConnection(ConnectionType.SERVER)
    whole.connection = server()
    whole.connection.receive_data(frame(1, b"later"))
    whole.handshake._events.append(events.Ping(b"first"))
    assert [type(each) for each in whole.events()] == [events.Ping, events.TextMessage]
    whole.receive_data(frame(1, b"x"))
    assert type(whole.events()) is EventIterator


def test_a_whole_connection_of_a_subclass_is_its_own(fast: None) -> None:
    class Mine(wsproto.WSConnection):
        pass

    whole = Mine(ConnectionType.SERVER)
    whole.connection = server()
    whole.receive_data(frame(1, b"text"))
    assert [each.data for each in whole.events()] == ["text"]


def test_a_mocked_connection_is_asked(fast: None) -> None:
    whole = wsproto.WSConnection(ConnectionType.SERVER)
    whole.connection = server()
    with mock.patch.object(whole.connection, "events", return_value=iter([1, 2])):
        assert list(whole.events()) == [1, 2]
    with mock.patch.object(Connection, "events", lambda self: iter([3])):
        assert list(whole.events()) == [3]


@pytest.mark.parametrize("data", ["text", 5, [1], bytearray(b"\x89\x80abcd"), memoryview(b"")])
def test_what_is_received_may_be_of_any_type_of_the_original(data: Any) -> None:
    def run() -> Any:
        made = server()
        said = outcome(made.receive_data, data), [*map(described, made.events())]
        return said, outcome(made.receive_data, data=data)

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain
