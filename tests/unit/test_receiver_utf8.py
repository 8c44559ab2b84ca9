"""Text fails at its first bad byte (section 8.1), whole, cut or fragmented."""

from __future__ import annotations

import pytest

from reference_protocol import TextReader
from wire import BINARY, CONTINUATION, KEY, PING, STEPS, TEXT, feed, frame, frames_in, server
from wsfast.events import Closed, Ping

BAD = Closed(1007, "text is not UTF-8 (RFC 6455 8.1)")

#: Invalid text: each is valid up to its last byte.
INVALID = [
    b"\x80",
    b"\xbf",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xff",
    b"\xfe",
    b"a\xc3a",
    b"\xc3\xc3",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xe2\x82\x41",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xf0\x80",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xf0\x9f\x98\x28",
    "grüße, κόσμε, 😀".encode() + b"\xc0",
    b"x" * 200 + b"\xff",
    "€".encode() * 100 + b"\xe2\x82\xe2",
]
TEXTS = [
    "",
    "a",
    "é",
    "€",
    "😀",
    "\x00",
    "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
]
TEXTS += ["grüße, κόσμε, 😀 " * 40, "a" * 63 + "é", "a" * 4096 + "😀" * 4096]


def first_bad_byte(data):
    """How many bytes a reader takes until one cannot be continued."""
    reader = TextReader()
    for at, byte in enumerate(data, 1):
        if not reader.read(byte):
            return at
    raise AssertionError("the text is valid so far")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_text_arrives(text, step):
    receiver = server()
    assert feed(receiver, frame(TEXT, text.encode(), key=KEY), step) == [text]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("text", TEXTS[:-2], ids=len)
def test_text_arrives_in_fragments_cut_anywhere(text, step):
    data = text.encode()
    for cut in range(len(data) + 1):
        stream = frame(TEXT, data[:cut], fin=False, key=KEY) + frame(PING, key=KEY)
        stream += frame(CONTINUATION, data[cut:], key=KEY)
        assert feed(server(), stream, step) == [Ping(b""), text]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("data", INVALID)
def test_a_whole_frame_of_bad_text_is_1007(data, step):
    receiver = server()
    stream = frame(TEXT, b"ok", key=KEY) + frame(TEXT, data + b"tail", key=KEY)
    assert feed(receiver, stream, step) == ["ok", BAD]
    assert frames_in(receiver.data_to_send()) == [(8, True, 0, b"\x03\xef" + BAD[1].encode())]


@pytest.mark.parametrize("data", INVALID)
def test_an_unfinished_frame_fails_at_the_bad_byte(data):
    """The frame announces more: it fails without waiting for the rest."""
    assert first_bad_byte(data) == len(data)
    receiver = server()
    head = frame(TEXT, data, length=1000, key=KEY)
    assert feed(receiver, head[:-1], 1) == []
    assert receiver.receive(head[-1:]) == [BAD]


@pytest.mark.parametrize("data", INVALID)
@pytest.mark.parametrize("rest", [b"", b"and more of the same fragment"])
def test_an_unfinished_fragment_fails_at_once(data, rest):
    assert server().receive(frame(TEXT, data + rest, fin=False, key=KEY)) == [BAD]


@pytest.mark.parametrize("data", INVALID)
def test_bad_text_over_fragments_fails_in_the_right_one(data):
    for cut in range(len(data)):
        receiver = server()
        assert receiver.receive(frame(TEXT, data[:cut], fin=False, key=KEY)) == []
        assert receiver.receive(frame(CONTINUATION, b"", fin=False, key=KEY)) == []
        assert receiver.receive(frame(CONTINUATION, data[cut:], fin=False, key=KEY)) == [BAD]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("data", [b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0\x9f\x98", b"abc\xe2\x82"])
def test_text_must_not_end_inside_a_character(data, step):
    assert feed(server(), frame(TEXT, data, key=KEY), step) == [BAD]
    stream = frame(TEXT, data, fin=False, key=KEY)
    assert feed(server(), stream + frame(CONTINUATION, key=KEY), step) == [BAD]
    stream = frame(TEXT, b"", fin=False, key=KEY) + frame(CONTINUATION, data, key=KEY)
    assert feed(server(), stream, step) == [BAD]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("data", INVALID)
def test_binary_may_hold_anything(data, step):
    receiver = server()
    stream = frame(BINARY, data, key=KEY) + frame(BINARY, data, fin=False, key=KEY)
    assert feed(receiver, stream + frame(CONTINUATION, data, key=KEY), step) == [data, data + data]


def test_a_validator_starts_anew_with_each_message():
    """What a message left half-read must not leak into the next one."""
    receiver = server()
    for text in ("é", "€uro", "😀"):
        data = text.encode()
        stream = frame(TEXT, data[:1], fin=False, key=KEY) + frame(CONTINUATION, data[1:], key=KEY)
        assert feed(receiver, stream + frame(TEXT, b"plain", key=KEY), 1) == [text, "plain"]


def test_every_pair_of_bytes_has_the_verdict_of_the_decoder():
    """65,536 two-byte texts, whole: the same as bytes.decode."""
    receiver = server()
    for first in range(128, 256):
        for second in range(256):
            data = bytes([first, second])
            try:
                expected = [data.decode()]
            except UnicodeDecodeError:
                expected = [BAD]
            assert receiver.receive(frame(TEXT, data, key=KEY)) == expected
            if expected == [BAD]:
                receiver = server()
