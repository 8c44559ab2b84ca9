"""The sans-I/O connection: its making, its states, what it takes, and what it keeps."""

from __future__ import annotations

import array
import copy
import gc
import pickle
import sys
import weakref

import pytest

from wire import (
    BINARY,
    KEY,
    PING,
    STEPS,
    TEXT,
    client,
    close_frame,
    feed,
    frame,
    frames_in,
    server,
)
from wsfast.connection import Connection
from wsfast.errors import LocalProtocolError
from wsfast.events import Closed, Ping
from wsfast.receiver import Receiver
from wsfast.rfc6455 import Role, State


def test_a_new_connection_is_open():
    for role in Role:
        connection = Connection(role)
        assert connection.role is role
        assert connection.state is State.OPEN
        assert connection.max_message_bytes == 1024 * 1024
        assert connection.max_fragments == 0
        assert connection.extension is None
        assert not connection.close_sent
        assert not connection.close_received
        assert not connection.failed
        assert connection.data_to_send() == b""
        assert isinstance(connection, Receiver)


def test_a_role_may_be_its_number():
    assert Connection(1).role is Role.SERVER  # type: ignore[arg-type]


@pytest.mark.parametrize("role", [2, -1, "server", None])
def test_an_unknown_role_is_refused(role):
    with pytest.raises(ValueError, match="is not a valid Role"):
        Connection(role)


@pytest.mark.parametrize("value", [0, -1, 2**62, 2**64, 2**70])
@pytest.mark.parametrize("limit", ["max_message_bytes", "max_fragments"])
def test_a_limit_out_of_range_is_refused(limit, value):
    with pytest.raises(ValueError, match=rf"{limit} is {value}, not in 1\.\.2\*\*62-1"):
        Connection(Role.SERVER, **{limit: value})


def test_a_limit_must_be_a_number():
    with pytest.raises(TypeError):
        Connection(Role.SERVER, max_message_bytes=None)  # type: ignore[arg-type]


def test_options_go_by_name():
    with pytest.raises(TypeError):
        Connection(Role.SERVER, 1000)  # type: ignore[misc]


def test_the_example_of_the_standard():
    """Section 5.7: a masked "Hello" to the server, an unmasked one to the client."""
    assert server().receive(bytes.fromhex("818537fa213d7f9f4d5158")) == ["Hello"]
    assert client().receive(bytes.fromhex("810548656c6c6f")) == ["Hello"]
    sender = client()
    sender.send("Hello")
    assert sender.data_to_send() == bytes.fromhex("818537fa213d7f9f4d5158")
    sender = server()
    sender.send("Hello")
    assert sender.data_to_send() == bytes.fromhex("810548656c6c6f")


# --- receive -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: array.array("B", b)])
def test_any_buffer_is_received_and_left_alone(kind):
    stream = frame(TEXT, b"Hello", key=KEY) + frame(BINARY, b"x" * 200, key=KEY)
    data = kind(stream)
    assert server().receive(data) == ["Hello", b"x" * 200]
    assert bytes(data) == stream


@pytest.mark.parametrize("data", ["\x81\x00", 5, None, [1, 2]])
def test_what_is_no_buffer_is_not_received(data):
    receiver = server()
    with pytest.raises(TypeError):
        receiver.receive(data)
    assert receiver.receive(frame(TEXT, b"on", key=KEY)) == ["on"]


def test_a_buffer_with_gaps_is_not_received():
    receiver = server()
    with pytest.raises(BufferError):
        receiver.receive(memoryview(bytes(20))[::2])
    assert receiver.state is State.OPEN


def test_nothing_leads_to_nothing():
    receiver = server()
    assert receiver.receive(b"") == []
    receiver.receive(frame(TEXT, b"Hello", key=KEY)[:3])
    assert receiver.receive(bytearray()) == []
    assert receiver.state is State.OPEN


def test_each_call_returns_a_list_of_its_own():
    receiver = server()
    first = receiver.receive(frame(TEXT, b"1", key=KEY))
    second = receiver.receive(frame(TEXT, b"2", key=KEY))
    assert (first, second) == (["1"], ["2"])
    assert receiver.receive(b"") is not receiver.receive(b"")


def test_a_received_buffer_is_released():
    receiver = server()
    data = bytearray(frame(TEXT, b"Hello", key=KEY))
    receiver.receive(data)
    data.append(1)  # BufferError while it is held
    data[:] = b"\xff\xff"
    receiver.receive(data)
    data.clear()


def test_events_are_not_kept():
    """An idle connection holds no message that it has handed on."""
    receiver = server()
    events = receiver.receive(frame(BINARY, b"x" * 10_000, key=KEY))
    holders = sys.getrefcount(events)  # the name and the argument
    end = receiver.receive_eof()
    assert max(holders, sys.getrefcount(end)) <= 2


def test_messages_do_not_share_memory_with_the_input():
    receiver = server()
    data = bytearray(frame(BINARY, b"Hello", key=bytes(4)))
    events = receiver.receive(data)
    data[:] = bytes(len(data))
    assert events == [b"Hello"]


@pytest.mark.parametrize("step", STEPS)
def test_a_batch_comes_in_wire_order(step):
    stream, expected = b"", []
    for number in range(200):
        text = f"message {number} " + "é" * (number % 3)
        stream += frame(TEXT, text.encode(), key=number.to_bytes(4, "big"))
        expected.append(text)
        if number % 10 == 0:
            stream += frame(PING, str(number).encode(), key=KEY)
            expected.append(Ping(str(number).encode()))
    assert feed(server(), stream, step) == expected


# --- states --------------------------------------------------------------------------------------


def test_states_when_we_close_first():
    connection = server()
    connection.send_close()
    assert connection.state is State.CLOSING
    assert (connection.close_sent, connection.close_received) == (True, False)
    connection.receive(close_frame(1000, key=KEY))
    assert connection.state is State.CLOSED
    assert not connection.failed


def test_states_when_the_peer_closes_first():
    connection = server()
    connection.receive(close_frame(1000, key=KEY))
    assert connection.state is State.CLOSED
    assert (connection.close_sent, connection.close_received) == (True, True)
    assert not connection.failed


def test_states_when_we_fail_the_connection():
    connection = server()
    connection.receive(b"\xff\xff")
    assert connection.state is State.CLOSED
    assert connection.failed


def test_states_when_the_transport_ends():
    connection = server()
    assert connection.receive_eof() == [Closed(1006, "")]
    assert connection.state is State.CLOSED
    assert not connection.failed
    assert connection.receive_eof() == []
    assert connection.receive(frame(TEXT, b"late", key=KEY)) == []
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("name", ["state", "role", "failed", "close_sent", "max_message_bytes"])
def test_what_is_read_cannot_be_written(name):
    connection = server()
    with pytest.raises(AttributeError):
        setattr(connection, name, getattr(connection, name))


# --- the object ----------------------------------------------------------------------------------


def test_a_python_subclass_works():
    class Named(Connection):
        name = "of a library"

    connection = Named(Role.SERVER)
    assert connection.receive(frame(TEXT, b"Hello", key=KEY)) == ["Hello"]
    assert weakref.ref(connection)() is connection


def test_a_cycle_through_the_connection_is_collected():
    class Keys:
        def __call__(self):
            return KEY

    keys = Keys()
    keys.connection = client(masking_keys=keys)  # type: ignore[attr-defined]
    gone = weakref.ref(keys)
    del keys
    gc.collect()
    assert gone() is None


def test_a_connection_is_small():
    """Thousands are held: a few hundred bytes, and no __dict__."""
    connection = server()
    assert sys.getsizeof(connection) <= 384
    assert not hasattr(connection, "__dict__")


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_connection_is_not_copied_or_pickled(take):
    connection = server()
    connection.receive(frame(TEXT, b"half", fin=False, key=KEY))
    with pytest.raises(TypeError, match="Connection"):
        take(connection)


def test_a_connection_that_was_never_initialised_refuses_everything():
    connection = Connection.__new__(Connection)
    assert [type(event) for event in connection.receive(b"\x81\x01a")] == [Closed]


def test_two_connections_talk():
    """Client and server, both ways, until both are closed."""
    ours, theirs = client(None), server()
    ours.send("Grüße")
    ours.send(b"\x00\xff")
    ours.send_ping(b"there?")
    assert theirs.receive(ours.data_to_send()) == ["Grüße", b"\x00\xff", Ping(b"there?")]
    theirs.send("back")
    assert ours.receive(theirs.data_to_send())[-1] == "back"
    ours.send_close(4000, "done")
    assert theirs.receive(ours.data_to_send()) == [Closed(4000, "done")]
    answer = theirs.data_to_send()
    assert frames_in(answer) == [(8, True, 0, (4000).to_bytes(2, "big"))]
    assert ours.receive(answer) == [Closed(4000, "")]
    with pytest.raises(LocalProtocolError):
        theirs.send("late")
