"""The extension hook (section 5.8), with two toys: XOR, and raw deflate with a context."""

from __future__ import annotations

import random
import zlib

import pytest

from wire import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    STEPS,
    TEXT,
    client,
    connection,
    feed,
    frame,
    frames_in,
    server,
)
from wsfast.errors import ExtensionFailed, LocalProtocolError
from wsfast.events import Closed, Ping
from wsfast.rfc6455 import Role, State

RSV1 = 4


class Xor:
    """Turns every bit of the payload; keeps what it was called with."""

    def __init__(self, smallest=0):
        self.smallest = smallest
        self.accepted: list[tuple[int, int]] = []
        self.encoded: list[tuple[bytes, bool]] = []
        self.decoded: list[tuple[bytes, bool, int]] = []

    def accepts(self, opcode, size):
        self.accepted.append((opcode, size))
        return size >= self.smallest

    def encode(self, data, fin):
        self.encoded.append((data, fin))
        return turned(data)

    def decode(self, data, fin, max_bytes):
        self.decoded.append((data, fin, max_bytes))
        return turned(data)


class Deflate:
    """Raw deflate with one context for all messages; stops at the limit (7692 in miniature)."""

    TAIL = b"\x00\x00\xff\xff"

    def __init__(self):
        self.deflater = zlib.compressobj(wbits=-15)
        self.inflater = zlib.decompressobj(wbits=-15)

    def accepts(self, opcode, size):
        return size > 0

    def encode(self, data, fin):
        coded = self.deflater.compress(data)
        if not fin:
            return coded
        return (coded + self.deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(self.TAIL)

    def decode(self, data, fin, max_bytes):
        try:
            plain = self.inflater.decompress(data + (self.TAIL if fin else b""), max_bytes + 1)
        except zlib.error as error:
            raise ExtensionFailed(1007, "not deflate data") from error
        if len(plain) > max_bytes:
            raise ExtensionFailed(1009, f"more than {max_bytes} bytes are left")
        return plain


def turned(data):
    return bytes(byte ^ 0xFF for byte in data)


def both(extension, **options):
    """A client and a server with an extension each."""
    return client(extension=extension(), **options), server(extension=extension(), **options)


# --- receiving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.name)
@pytest.mark.parametrize("step", STEPS)
def test_an_encoded_message_is_decoded(role, step):
    receiver, key = connection(role, extension=Xor())
    text = "grüße 😀".encode()
    stream = frame(TEXT, turned(text), rsv=RSV1, key=key)
    stream += frame(BINARY, b"plain", key=key)
    stream += frame(BINARY, turned(b"coded"), rsv=RSV1, key=key)
    stream += frame(TEXT, text, key=key)
    stream += frame(TEXT, b"", rsv=RSV1, key=key)
    assert feed(receiver, stream, step) == ["grüße 😀", b"plain", b"coded", "grüße 😀", ""]


@pytest.mark.parametrize("step", STEPS)
def test_control_frames_between_encoded_fragments(step):
    receiver = server(extension=Xor())
    data = turned("grüße 😀".encode())
    stream = frame(TEXT, data[:3], fin=False, rsv=RSV1, key=KEY)
    stream += frame(PING, b"not encoded", key=KEY)
    stream += frame(CONTINUATION, data[3:4], fin=False, key=KEY)
    stream += frame(CONTINUATION, data[4:], fin=False, key=KEY)
    stream += frame(CONTINUATION, key=KEY) + frame(TEXT, b"plain", key=KEY)
    assert feed(receiver, stream, step) == [Ping(b"not encoded"), "grüße 😀", "plain"]
    assert frames_in(receiver.data_to_send()) == [(PONG, True, 0, b"not encoded")]


@pytest.mark.parametrize("step", STEPS)
def test_the_last_piece_is_marked_once(step):
    """`fin` comes with the last byte of the last frame, or with an empty last frame."""
    for last in (b"", b"end"):
        extension = Xor()
        stream = frame(BINARY, b"begin", fin=False, rsv=RSV1, key=KEY)
        feed(server(extension=extension), stream + frame(CONTINUATION, last, key=KEY), step)
        assert [fin for _, fin, _ in extension.decoded].count(True) == 1
        assert extension.decoded[-1][1]
        assert b"".join(data for data, _, _ in extension.decoded) == b"begin" + last


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_other_rsv_bits_are_refused(step, rsv):
    receiver = server(extension=Xor())
    assert feed(receiver, frame(TEXT, b"x", rsv=rsv, key=KEY), step)[0].close_code == 1002


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("opcode", [CONTINUATION, PING, PONG, 8])
@pytest.mark.parametrize("first_rsv", [0, RSV1])
def test_rsv1_belongs_to_the_first_frame_of_a_message(step, opcode, first_rsv):
    receiver = server(extension=Xor())
    stream = frame(BINARY, b"x", fin=False, rsv=first_rsv, key=KEY)
    stream += frame(opcode, b"", rsv=RSV1, key=KEY)
    assert [event.close_code for event in feed(receiver, stream, step)] == [1002]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("cut", range(4))
def test_decoded_text_must_be_utf8(step, cut):
    for bad in (b"abc\xff", b"ab\xed\xa0", b"abc\xc3"):
        data = turned(bad)
        stream = frame(TEXT, data[:cut], fin=False, rsv=RSV1, key=KEY)
        stream += frame(CONTINUATION, data[cut:], key=KEY)
        closed = feed(server(extension=Xor()), stream, step)[-1]
        assert closed == Closed(1007, "text is not UTF-8 (RFC 6455 8.1)")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_the_limit_counts_what_comes_out(step, size):
    """Raw deflate makes 1,000 zeros short and 1,000 random bytes a little longer."""
    for data in (bytes(size), random.Random(1).randbytes(size)):
        coded = Deflate().encode(data, True)
        for cut in (0, 5, len(coded)):
            receiver = server(extension=Deflate(), max_message_bytes=1000)
            stream = frame(BINARY, coded[:cut], fin=False, rsv=RSV1, key=KEY)
            stream += frame(CONTINUATION, coded[cut:], key=KEY)
            events = feed(receiver, stream, step)
            if size <= 1000:
                assert events == [data]
            else:
                assert [event.close_code for event in events] == [1009]
                assert receiver.receive_eof() == []


def test_an_extension_that_ignores_the_limit_does_not_exceed_it():
    receiver = server(extension=Xor(), max_message_bytes=4)
    assert receiver.receive(frame(BINARY, b"12345", rsv=RSV1, key=KEY)) == [
        Closed(1009, "message exceeds 4 bytes")
    ]


def test_the_room_that_is_left_is_said():
    extension = Xor()
    receiver = server(extension=extension, max_message_bytes=10)
    receiver.receive(frame(BINARY, b"1234", fin=False, rsv=RSV1, key=KEY))
    receiver.receive(frame(CONTINUATION, b"56", key=KEY))
    assert extension.decoded == [(b"1234", False, 10), (b"56", True, 6)]


@pytest.mark.parametrize("code", [1002, 1007, 1009])
def test_a_decoder_that_fails_closes(code):
    class Failing(Xor):
        def decode(self, data, fin, max_bytes):
            raise ExtensionFailed(code, "as it said")

    receiver = server(extension=Failing())
    stream = frame(TEXT, b"ok", key=KEY) + frame(TEXT, b"x", rsv=RSV1, key=KEY)
    assert receiver.receive(stream + frame(TEXT, b"never", key=KEY)) == [
        "ok",
        Closed(code, "as it said"),
    ]
    assert frames_in(receiver.data_to_send()) == [
        (8, True, 0, code.to_bytes(2, "big") + b"as it said")
    ]
    assert receiver.failed


@pytest.mark.parametrize("step", STEPS)
def test_deflate_that_is_none_closes(step):
    receiver = server(extension=Deflate())
    events = feed(receiver, frame(BINARY, b"\xff" * 20, rsv=RSV1, key=KEY), step)
    assert events == [Closed(1007, "not deflate data")]


@pytest.mark.parametrize("result", [None, "text", bytearray(b"x")])
def test_a_broken_extension_raises_and_ends_reading(result):
    """A bug of ours is an exception; the connection never goes on in the middle of a frame."""

    class Broken(Xor):
        def decode(self, data, fin, max_bytes):
            return result

    receiver = server(extension=Broken())
    with pytest.raises(TypeError):
        receiver.receive(frame(BINARY, b"x", fin=False, rsv=RSV1, key=KEY) + b"more")
    assert receiver.receive(frame(TEXT, b"never", key=KEY)) == []
    assert receiver.state is State.OPEN
    receiver.send_close(1011)
    assert receiver.receive_eof() == [Closed(1006, "")]


# --- sending -------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["grüße", "", b"", b"\x00\xff" * 200])
@pytest.mark.parametrize("make", [server, client])
def test_an_accepted_message_is_encoded(message, make):
    extension = Xor()
    sender = make(extension=extension)
    sender.send(message)
    opcode = TEXT if isinstance(message, str) else BINARY
    data = message.encode() if isinstance(message, str) else message
    assert frames_in(sender.data_to_send()) == [(opcode, True, RSV1, turned(data))]
    assert extension.accepted == [(opcode, len(data))]
    assert extension.encoded == [(data, True)]


def test_a_message_that_is_not_accepted_goes_plain():
    sender = server(extension=Xor(smallest=10))
    sender.send("short")
    sender.send(b"long enough")
    assert frames_in(sender.data_to_send()) == [
        (TEXT, True, 0, b"short"),
        (BINARY, True, RSV1, turned(b"long enough")),
    ]


@pytest.mark.parametrize("accepted", [True, False])
def test_the_first_fragment_decides(accepted):
    sender = server(extension=Xor(smallest=1 if accepted else 3))
    sender.send_text("ab", fin=False)
    sender.send_ping(b"plain")
    sender.send_continuation("cdefgh")
    sender.send_continuation("", fin=True)
    coded = turned if accepted else bytes
    assert frames_in(sender.data_to_send()) == [
        (TEXT, False, RSV1 if accepted else 0, coded(b"ab")),
        (PING, True, 0, b"plain"),
        (CONTINUATION, False, 0, coded(b"cdefgh")),
        (CONTINUATION, True, 0, b""),
    ]


def test_misuse_reaches_no_extension():
    """A refused call must not move the compressor's context."""
    extension = Xor()
    sender = server(extension=extension)
    for send in (
        lambda: sender.send_text(b"\xff"),
        lambda: sender.send_continuation("x"),
        lambda: sender.send("\ud800"),
        lambda: sender.send(5),
    ):
        with pytest.raises((LocalProtocolError, UnicodeEncodeError, TypeError)):
            send()
    sender.send_close()
    with pytest.raises(LocalProtocolError):
        sender.send("x")
    assert (extension.accepted, extension.encoded) == ([], [])


def test_an_encoder_that_raises_changes_nothing():
    class Broken(Xor):
        def encode(self, data, fin):
            raise ZeroDivisionError

    sender = server(extension=Broken(smallest=3))
    with pytest.raises(ZeroDivisionError):
        sender.send("long")
    with pytest.raises(ZeroDivisionError):
        sender.send_text("long", fin=False)
    assert sender.data_to_send() == b""
    sender.send("ok")
    assert sender.data_to_send() == frame(TEXT, b"ok")


def test_an_encoder_that_closes_writes_nothing_behind_the_close():
    class Closing(Xor):
        def encode(self, data, fin):
            made.send_close(1001)
            return super().encode(data, fin)

    made = server(extension=Closing())
    with pytest.raises(LocalProtocolError, match="nothing follows"):
        made.send("x")
    [(opcode, *_, payload)] = frames_in(made.data_to_send())
    assert (opcode, payload) == (8, (1001).to_bytes(2, "big"))


# --- both ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [Xor, Deflate])
@pytest.mark.parametrize("step", STEPS)
def test_what_one_end_encodes_the_other_decodes(extension, step):
    ours, theirs = both(extension)
    messages = ["Hello", b"", "", "Hello", b"\x00" * 10_000, "grüße " * 100]
    for message in messages:
        ours.send(message)
    ours.send_text("one ", fin=False)
    ours.send_ping(b"!")
    ours.send_continuation(" two", fin=True)
    events = feed(theirs, ours.data_to_send(), step)
    assert events == [*messages, Ping(b"!"), "one  two"]


def test_deflate_pays():
    ours, theirs = both(Deflate)
    ours.send("a" * 100_000)
    data = ours.data_to_send()
    assert len(data) < 1000
    assert theirs.receive(data) == ["a" * 100_000]


def test_a_bomb_stops_at_the_limit():
    """A thousand to one: 100 MB in 100 KB, of which nothing beyond the limit is made."""
    ours, theirs = both(Deflate, max_message_bytes=50_000)
    ours.send(bytes(20 << 20))
    data = ours.data_to_send()
    assert len(data) < 30_000
    assert [event.close_code for event in theirs.receive(data)] == [1009]
