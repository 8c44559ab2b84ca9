"""The closing handshake (sections 5.5.1 and 7): codes, reasons, order, and exactly one end."""

from __future__ import annotations

import pytest

from reference_protocol import close_code_may_travel
from wire import (
    CLOSE,
    KEY,
    PING,
    PONG,
    STEPS,
    TEXT,
    client,
    close_frame,
    feed,
    frame,
    frames_in,
    server,
)
from wsfast.errors import LocalProtocolError
from wsfast.events import Closed, Ping
from wsfast.rfc6455 import State


def close_payload(connection):
    """The payload of the one Close among what is sent; it must be the last frame."""
    frames = frames_in(connection.data_to_send())
    assert [opcode for opcode, *_ in frames].count(CLOSE) == 1
    assert frames[-1][0] == CLOSE
    return frames[-1][3]


@pytest.mark.parametrize("thousand", range(6))
def test_every_close_code_received(thousand):
    for code in range(thousand * 1000, thousand * 1000 + 1000):
        receiver = server()
        events = receiver.receive(close_frame(code, b"why", key=KEY))
        answer = close_payload(receiver)
        if close_code_may_travel(code):
            assert events == [Closed(code, "why")]
            assert answer == code.to_bytes(2, "big")
        else:
            assert events == [Closed(1002, f"close code {code} (RFC 6455 7.4)")]
            assert answer[:2] == b"\x03\xea"
        assert receiver.failed != close_code_may_travel(code)


@pytest.mark.parametrize("thousand", range(6))
def test_every_close_code_sent(thousand):
    for code in range(thousand * 1000, thousand * 1000 + 1000):
        sender = server()
        if close_code_may_travel(code):
            sender.send_close(code, "why")
            assert sender.data_to_send() == close_frame(code, b"why")
        else:
            with pytest.raises(LocalProtocolError, match=f"close code {code} must not be sent"):
                sender.send_close(code)
            assert sender.state is State.OPEN
            assert sender.data_to_send() == b""


@pytest.mark.parametrize("code", [-1, 2**31, 2**40, 65536 + 1000, 1000 - 2**32])
def test_a_close_code_that_is_no_code_is_not_sent(code):
    sender = server()
    with pytest.raises(LocalProtocolError, match=f"close code {code} must not be sent"):
        sender.send_close(code)
    assert sender.state is State.OPEN


@pytest.mark.parametrize("step", STEPS)
def test_an_empty_close_is_1005(step):
    receiver = server()
    assert feed(receiver, frame(CLOSE, key=KEY), step) == [Closed(1005, "")]
    assert receiver.data_to_send() == frame(CLOSE)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("byte", [b"\x00", b"\x03", b"\xff"])
def test_a_close_of_one_byte_is_1002(step, byte):
    receiver = server()
    assert feed(receiver, frame(CLOSE, byte, key=KEY), step)[0].close_code == 1002
    assert close_payload(receiver)[:2] == b"\x03\xea"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("reason", ["", "x", "é" * 61, "x" * 123, "😀" * 30])
def test_a_reason_arrives_and_is_sent(step, reason):
    receiver = server()
    data = close_frame(1001, reason.encode(), key=KEY)
    assert feed(receiver, data, step) == [Closed(1001, reason)]
    sender = client()
    sender.send_close(1001, reason)
    assert sender.data_to_send() == data


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("reason", [b"\xff", b"ok\xc0\x80", b"\xed\xa0\x80", b"cut \xe2\x82"])
def test_a_reason_that_is_not_utf8_is_1007(step, reason):
    receiver = server()
    assert feed(receiver, close_frame(1000, reason, key=KEY), step)[0].close_code == 1007
    assert close_payload(receiver)[:2] == b"\x03\xef"


@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62, "😀" * 31, "x" * 100_000])
def test_a_reason_too_long_is_not_sent(reason):
    sender = server()
    with pytest.raises(LocalProtocolError, match=f"{len(reason.encode())} bytes exceeds 123"):
        sender.send_close(1000, reason)
    assert sender.state is State.OPEN
    sender.send("still here")


@pytest.mark.parametrize(
    ("reason", "error"), [(None, TypeError), (b"x", TypeError), (5, TypeError)]
)
def test_a_reason_is_a_str(reason, error):
    sender = server()
    with pytest.raises(error):
        sender.send_close(1000, reason)
    assert sender.state is State.OPEN


def test_a_reason_with_surrogates_is_not_sent():
    sender = server()
    with pytest.raises(UnicodeEncodeError):
        sender.send_close(1000, "\ud800")
    assert sender.state is State.OPEN
    assert sender.data_to_send() == b""


def test_a_second_close_does_nothing():
    sender = server()
    sender.send_close(1000, "first")
    sender.send_close(1001, "second")
    assert sender.data_to_send() == close_frame(1000, b"first")
    sender.send_close()
    assert sender.data_to_send() == b""


def test_a_second_close_is_still_judged():
    sender = server()
    sender.send_close()
    with pytest.raises(LocalProtocolError):
        sender.send_close(1005)


def test_nothing_can_be_sent_after_close():
    sender = server()
    sender.send_text("half", fin=False)
    sender.send_close()
    sent = sender.data_to_send()
    for method, *args in (
        ("send", "x"),
        ("send", b"x"),
        ("send_text", "x"),
        ("send_binary", b"x"),
        ("send_continuation", "x"),
        ("send_ping",),
        ("send_pong",),
    ):
        with pytest.raises(LocalProtocolError, match="closing"):
            getattr(sender, method)(*args)
    assert frames_in(sent)[-1][0] == CLOSE
    assert sender.data_to_send() == b""


@pytest.mark.parametrize("end", ["close", "failure", "eof"])
def test_nothing_can_be_sent_after_the_end(end):
    connection = server()
    if end == "eof":
        connection.receive_eof()
    else:
        connection.receive(close_frame(1000, key=KEY) if end == "close" else b"\xff\xff")
    connection.data_to_send()
    with pytest.raises(LocalProtocolError, match="closing"):
        connection.send("x")
    connection.send_close()
    assert connection.data_to_send() == b""


def test_a_close_during_our_fragmented_message_is_the_last_frame():
    sender = server()
    sender.send_text("half", fin=False)
    sender.send_close(1001)
    assert frames_in(sender.data_to_send()) == [
        (TEXT, False, 0, b"half"),
        (CLOSE, True, 0, b"\x03\xe9"),
    ]


@pytest.mark.parametrize("step", STEPS)
def test_messages_still_arrive_after_our_close(step):
    """Section 7.1.3: the peer's data before its own Close is delivered."""
    connection = server()
    connection.send_close(1001)
    data = frame(TEXT, b"last", key=KEY) + close_frame(1001, key=KEY)
    assert feed(connection, data, step) == ["last", Closed(1001, "")]
    assert frames_in(connection.data_to_send()) == [(CLOSE, True, 0, b"\x03\xe9")]


def test_a_ping_after_our_close_gets_no_pong():
    connection = server()
    connection.send_close()
    connection.data_to_send()
    assert connection.receive(frame(PING, b"?", key=KEY)) == [Ping(b"?")]
    assert connection.data_to_send() == b""


def test_a_ping_before_our_close_gets_its_pong_first():
    connection = server()
    connection.receive(frame(PING, b"?", key=KEY))
    connection.send_close()
    assert [each[0] for each in frames_in(connection.data_to_send())] == [PONG, CLOSE]


def test_a_ping_and_a_close_in_one_read():
    connection = server()
    events = connection.receive(frame(PING, b"?", key=KEY) + close_frame(1000, key=KEY))
    assert events == [Ping(b"?"), Closed(1000, "")]
    assert [each[0] for each in frames_in(connection.data_to_send())] == [PONG, CLOSE]


def test_both_close_at_once():
    """Each takes the other's Close as the answer to its own; nobody sends two."""
    ours, theirs = client(), server()
    ours.send_close(1000)
    theirs.send_close(1001)
    to_them, to_us = ours.data_to_send(), theirs.data_to_send()
    assert theirs.receive(to_them) == [Closed(1000, "")]
    assert ours.receive(to_us) == [Closed(1001, "")]
    assert ours.data_to_send() == theirs.data_to_send() == b""
    assert ours.state is theirs.state is State.CLOSED


def test_a_close_inside_a_fragmented_message_ends_it():
    connection = server()
    connection.receive(frame(TEXT, b"half", fin=False, key=KEY))
    assert connection.receive(close_frame(1000, key=KEY)) == [Closed(1000, "")]


@pytest.mark.parametrize("bad", [b"\xff\xff", frame(CLOSE, b"1", key=KEY), frame(TEXT, b"x")])
def test_a_failure_after_our_close_sends_no_second_one(bad):
    connection = server()
    connection.send_close(1000)
    connection.data_to_send()
    assert [event.close_code for event in connection.receive(bad)] == [1002]
    assert connection.failed
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("before", [b"", frame(TEXT, b"half", fin=False, key=KEY), b"\x81"])
def test_the_end_of_the_transport_is_1006_once(before):
    connection = server()
    connection.receive(before)
    assert connection.receive_eof() == [Closed(1006, "")]
    assert connection.receive_eof() == []


@pytest.mark.parametrize("first", [close_frame(1000, key=KEY), b"\xff\xff"])
def test_closed_comes_once(first):
    connection = server()
    assert len(connection.receive(first)) == 1
    assert connection.receive(close_frame(1001, key=KEY)) == []
    assert connection.receive(b"\xff" * 50) == []
    assert connection.receive_eof() == []


def test_the_end_after_our_close_is_1006():
    connection = server()
    connection.send_close()
    assert connection.receive_eof() == [Closed(1006, "")]
    assert connection.data_to_send() == close_frame(1000)


def test_the_client_masks_its_close():
    connection = client()
    connection.receive(close_frame(1000, b"bye"))
    assert connection.data_to_send() == close_frame(1000, key=KEY)
