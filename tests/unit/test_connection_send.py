"""Sending: whole messages, fragments, control frames; misuse raises and changes nothing."""

from __future__ import annotations

import array
import itertools

import pytest

from wire import BINARY, CONTINUATION, KEY, PING, PONG, TEXT, client, frame, frames_in, server
from wsfast.errors import LocalProtocolError
from wsfast.rfc6455 import State

SIZES = [0, 1, 2, 3, 4, 5, 15, 16, 17, 125, 126, 127, 128, 1000, 65535, 65536, 65537, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_whole_messages(size):
    for make, key in ((server, None), (client, KEY)):
        sender = make()
        sender.send("x" * size)
        sender.send(b"y" * size)
        sender.send("é" * (size // 2))
        assert sender.data_to_send() == frame(TEXT, b"x" * size, key=key) + frame(
            BINARY, b"y" * size, key=key
        ) + frame(TEXT, "é".encode() * (size // 2), key=key)


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: array.array("B", data)])
def test_any_buffer_is_a_binary_message(kind):
    sender = server()
    sender.send(kind(b"some bytes"))
    sender.send_binary(kind(b"some bytes"))
    sender.send_text(kind(b"some text"))
    assert sender.data_to_send() == 2 * frame(BINARY, b"some bytes") + frame(TEXT, b"some text")


def test_a_buffer_of_larger_items_goes_as_its_bytes():
    sender = server()
    sender.send(array.array("I", [1, 2]))
    assert frames_in(sender.data_to_send())[0][3] == array.array("I", [1, 2]).tobytes()


def test_subclasses_of_str_and_bytes_are_what_they_are():
    class Text(str):
        pass

    class Data(bytes):
        pass

    sender = server()
    sender.send(Text("x"))
    sender.send(Data(b"y"))
    assert sender.data_to_send() == frame(TEXT, b"x") + frame(BINARY, b"y")


def test_what_was_sent_may_change_afterwards():
    sender = server()
    data = bytearray(b"before")
    sender.send(data)
    data[:] = b"after!"
    data.append(1)
    assert sender.data_to_send() == frame(BINARY, b"before")


def test_data_to_send_is_taken_once():
    sender = server()
    sender.send("x")
    assert sender.data_to_send() == frame(TEXT, b"x")
    assert sender.data_to_send() == b""
    sender.send("y")
    assert sender.data_to_send() == frame(TEXT, b"y")


@pytest.mark.parametrize("message", [5, None, 1.5, ["x"], object()])
def test_what_is_no_message_is_not_sent(message):
    sender = server()
    for method in (sender.send, sender.send_text, sender.send_binary, sender.send_continuation):
        with pytest.raises(TypeError):
            method(message)
    assert sender.data_to_send() == b""


def test_a_buffer_with_gaps_is_not_sent():
    sender = server()
    with pytest.raises(BufferError):
        sender.send(memoryview(bytes(10))[::2])
    assert sender.data_to_send() == b""


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "x" * 1000 + "\udc80"])
def test_surrogates_are_not_sent(text):
    sender = server()
    with pytest.raises(UnicodeEncodeError):
        sender.send(text)
    with pytest.raises(UnicodeEncodeError):
        sender.send_text(text, fin=False)
    assert sender.data_to_send() == b""
    sender.send("no message is open")


@pytest.mark.parametrize("data", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"cut \xe2\x82"])
def test_bytes_that_are_no_text_are_not_sent_as_text(data):
    sender = server()
    with pytest.raises(LocalProtocolError, match=r"not UTF-8 .*5\.6"):
        sender.send_text(data)
    assert sender.data_to_send() == b""
    sender.send("no message is open")


def test_a_str_is_no_binary_message():
    sender = server()
    with pytest.raises(TypeError, match="not str"):
        sender.send_binary("x")  # type: ignore[arg-type]
    sender.send_binary(b"x", fin=False)
    with pytest.raises(TypeError, match="not str"):
        sender.send_continuation("y", fin=True)
    sender.send_continuation(b"y", fin=True)
    assert len(frames_in(sender.data_to_send())) == 2


# --- fragments (5.4) ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [server, client])
def test_a_message_in_fragments(make):
    key = KEY if make is client else None
    sender = make()
    sender.send_text("Hel", fin=False)
    sender.send_continuation("")
    sender.send_ping(b"between")
    sender.send_continuation(b"lo", fin=True)
    sender.send_binary(b"", fin=False)
    sender.send_continuation(b"", fin=True)
    sender.send("next")
    assert sender.data_to_send() == b"".join(
        frame(opcode, payload, fin=fin, key=key)
        for opcode, payload, fin in [
            (TEXT, b"Hel", False),
            (CONTINUATION, b"", False),
            (PING, b"between", True),
            (CONTINUATION, b"lo", True),
            (BINARY, b"", False),
            (CONTINUATION, b"", True),
            (TEXT, b"next", True),
        ]
    )


def test_a_fragment_may_end_inside_a_character():
    sender, receiver = server(), client()
    data = "grüße 😀".encode()
    sender.send_text(data[:1], fin=False)
    for at in range(1, len(data) - 1):
        sender.send_continuation(data[at : at + 1])
    sender.send_continuation(data[-1:], fin=True)
    assert receiver.receive(sender.data_to_send()) == ["grüße 😀"]


def test_a_message_must_not_end_inside_a_character():
    sender = server()
    sender.send_text(b"\xe2\x82", fin=False)
    for data in (b"", b"\x82\xff", b"\xe2", b"abc"):
        with pytest.raises(LocalProtocolError, match="not UTF-8"):
            sender.send_continuation(data, fin=True)
    with pytest.raises(LocalProtocolError, match="not UTF-8"):
        sender.send_continuation(b"x")
    sender.send_continuation(b"\xac", fin=True)
    assert [each[3] for each in frames_in(sender.data_to_send())] == [b"\xe2\x82", b"\xac"]


def test_binary_fragments_may_hold_anything():
    sender = server()
    sender.send_binary(b"\xff", fin=False)
    sender.send_continuation(b"\xc0", fin=True)
    sender.send_text("é")
    assert len(frames_in(sender.data_to_send())) == 3


@pytest.mark.parametrize(
    "send",
    [
        lambda sender: sender.send("x"),
        lambda sender: sender.send("é"),
        lambda sender: sender.send(b"x"),
        lambda sender: sender.send(bytearray(b"x")),
        lambda sender: sender.send_text("x"),
        lambda sender: sender.send_binary(b"x", fin=False),
    ],
)
def test_no_message_inside_a_fragmented_one(send):
    sender = server()
    sender.send_text("half", fin=False)
    sender.data_to_send()
    with pytest.raises(LocalProtocolError, match=r"not finished .*5\.4"):
        send(sender)
    assert sender.data_to_send() == b""
    sender.send_continuation("", fin=True)
    send(sender)


@pytest.mark.parametrize("data", ["x", b"x", b"\xff", ""])
@pytest.mark.parametrize("fin", [True, False])
def test_nothing_to_continue(data, fin):
    sender = server()
    with pytest.raises(LocalProtocolError, match=r"no message to continue .*5\.4"):
        sender.send_continuation(data, fin=fin)
    sender.send_text("x")
    with pytest.raises(LocalProtocolError, match="no message to continue"):
        sender.send_continuation(data, fin=fin)
    assert sender.data_to_send() == frame(TEXT, b"x")


# --- control frames (5.5) -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 124, 125])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_control_frames(size, kind):
    sender = server()
    sender.send_ping(kind(bytes(size)))
    sender.send_pong(kind(bytes(size)))
    assert sender.data_to_send() == frame(PING, bytes(size)) + frame(PONG, bytes(size))


@pytest.mark.parametrize("size", [126, 127, 65536])
def test_a_longer_control_frame_is_not_sent(size):
    sender = server()
    for method in (sender.send_ping, sender.send_pong):
        with pytest.raises(LocalProtocolError, match=rf"{size} bytes exceeds 125 .*5\.5"):
            method(bytes(size))
    assert sender.data_to_send() == b""


@pytest.mark.parametrize("payload", ["text", 5, 2**40, None, [1, 2]])
def test_a_control_payload_must_be_bytes_like(payload):
    """bytes(5) would be five zeros."""
    sender = server()
    for method in (sender.send_ping, sender.send_pong):
        with pytest.raises(TypeError):
            method(payload)
    assert sender.data_to_send() == b""


# --- masking keys (5.3) -------------------------------------------------------------------------


def test_a_client_takes_a_new_key_for_each_frame():
    keys = itertools.count(1)
    sender = client(lambda: next(keys).to_bytes(4, "big"))
    sender.send("Hello")
    sender.send_text("a", fin=False)
    sender.send_continuation("b", fin=True)
    sender.send_ping(b"c")
    sender.send_close()
    expected = [(TEXT, b"Hello", True), (TEXT, b"a", False), (CONTINUATION, b"b", True)]
    expected += [(PING, b"c", True), (8, b"\x03\xe8", True)]
    assert sender.data_to_send() == b"".join(
        frame(opcode, payload, fin=fin, key=number.to_bytes(4, "big"))
        for number, (opcode, payload, fin) in enumerate(expected, 1)
    )


def test_a_server_takes_no_key():
    def no_key():
        raise AssertionError("a server does not mask")

    sender = server(masking_keys=no_key)
    sender.send("Hello")
    assert sender.data_to_send() == frame(TEXT, b"Hello")


@pytest.mark.parametrize(
    ("key", "error"),
    [(b"", ValueError), (b"12345", ValueError), ("1234", TypeError), (7, TypeError)],
)
def test_an_injected_key_is_checked(key, error):
    sender = client(lambda: key)
    with pytest.raises(error):
        sender.send("Hello")
    assert sender.data_to_send() == b""
    assert sender.state is State.OPEN


def test_a_key_of_zeros_is_used():
    sender = client(lambda: bytes(4))
    sender.send("Hello")
    assert sender.data_to_send() == b"\x81\x85\0\0\0\0Hello"
