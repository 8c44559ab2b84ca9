"""Frame.parse and Frame.serialize of websockets, replaced: also as the generator that it was."""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import itertools
import pickle
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

import websockets.protocol  # noqa: F401 (what the speedups wait for)
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from ids import shown
from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome, typed
from wsfast.speedups.websockets_frames import FrameReader
from wsfast.speedups.websockets_selftest import fields, unmasked

KEY = b"\xa1\x02\xf3\x04"


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


class Step:
    """What the library's own read_exact is not: somebody's generator over a list."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def read_exact(self, count: int) -> Any:
        yield
        taken, self.data = self.data[:count], self.data[count:]
        return taken


def parsed(pieces: list[bytes], eof: bool, **options: Any) -> list[Any]:
    """What happens at each step, with what is left in the buffer."""
    reader = StreamReader()
    parser = Frame.parse(reader.read_exact, **options)
    found: list[Any] = []
    for number, piece in enumerate(pieces, 1):
        reader.feed_data(piece)
        if eof and number == len(pieces):
            reader.feed_eof()
        said = outcome(stepped, parser)
        found.append((said, typed(reader.buffer)))
    return found


def stepped(parser: Any) -> Any:
    try:
        return next(parser)
    except StopIteration as stop:
        return stop.value and fields(stop.value)


def check(stream: bytes, **options: Any) -> list[Any]:
    """The same as the original in pieces of any size, with and without an end."""
    options = {"mask": True, **options}
    each = []
    for cut, eof in itertools.product((1, 2, 3, 7, 100_000), (True, False)):
        pieces = [stream[start : start + cut] for start in range(0, len(stream), cut)] or [b""]
        each.append((pieces, eof))
    plain = [parsed(pieces, eof, **options) for pieces, eof in each]
    with speedups.installed("websockets", strict=True):
        ours = [parsed(pieces, eof, **options) for pieces, eof in each]
    assert ours == plain
    return ours


# --- parsing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("opcode", list(Opcode))
def test_every_opcode(mask: bool, opcode: Any) -> None:
    key = KEY if mask else None
    found = check(frame_bytes(opcode, b"payload", masking_key=key) + b"next", mask=mask)
    assert "payload" in repr(found)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_every_form_of_length(size: int) -> None:
    for form in (16, 64):
        check(frame_bytes(2, b"x" * min(size, 300), masking_key=KEY, length_form=form))
    if size > 300:
        stream = frame_bytes(2, b"x" * size)
        assert parsed([stream], False, mask=False)[0][1] == (bytearray, bytearray())


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x81",
        frame_bytes(3, b"reserved", masking_key=KEY),
        frame_bytes(15, b"reserved", masking_key=KEY),
        frame_bytes(1, b"not masked"),
        frame_bytes(1, b"rsv", rsv=4, masking_key=KEY),
        frame_bytes(9, b"in parts", fin=False, masking_key=KEY),
        frame_bytes(9, b"long" * 40, masking_key=KEY),
        b"\x82\xff" + b"\xff" * 8 + KEY + b"endless",
    ],
    ids=shown,
)
def test_what_the_library_refuses(stream: bytes) -> None:
    check(stream)
    check(stream, max_size=3, extensions=[])


@pytest.mark.parametrize("limit", [None, 0, 3, 4, 5, -1, True, 4.5, 1 << 70])
def test_limits(limit: Any) -> None:
    check(frame_bytes(2, b"1234", masking_key=KEY), max_size=limit)
    check(frame_bytes(2, b"x" * 200, masking_key=KEY), max_size=limit)


class Mark(Extension):
    """Notes what it is called with."""

    name = "x-mark"  # type: ignore[assignment]

    def __init__(self, sign: bytes) -> None:
        self.sign = sign

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        if max_size == 13:
            raise PayloadTooBig(None, 13)
        data = frame.data + self.sign + str(max_size).encode()
        return Frame(frame.opcode, data, frame.fin, False, False, False)

    def encode(self, frame: Any) -> Any:
        return Frame(frame.opcode, bytes(frame.data) + self.sign, frame.fin, True)


@pytest.mark.parametrize("rsv", [0, 4])
def test_extensions_are_called_in_reverse(rsv: int) -> None:
    extensions = [Mark(b"<1>"), Mark(b"<2>")]
    stream = frame_bytes(1, b"data", rsv=rsv, masking_key=KEY)
    found = check(stream, extensions=extensions, max_size=99)
    assert b"data<2>99<1>99" in repr(found).encode()
    check(stream, extensions=tuple(extensions))
    check(stream, extensions=extensions, max_size=13)


def test_compressed_frames() -> None:
    sender = PerMessageDeflate(False, False, 12, 12)
    stream = Frame(Opcode.TEXT, b"compressed").serialize(mask=True, extensions=[sender])
    reader = StreamReader()
    with speedups.installed("websockets", strict=True):
        reader.feed_data(stream)
        receiver = PerMessageDeflate(False, False, 12, 12)
        parser = Frame.parse(reader.read_exact, mask=True, extensions=[receiver])
        assert stepped(parser) == fields(Frame(Opcode.TEXT, b"compressed"))


def test_who_reads_in_another_way_gets_the_original(fast: None) -> None:
    class Own(StreamReader):
        pass

    stream = frame_bytes(1, b"data", masking_key=KEY)
    own = Own()
    own.feed_data(stream)
    step = Step(stream)
    by_own = Frame.parse(own.read_exact, mask=True)
    by_step = Frame.parse(step.read_exact, mask=True)
    assert stepped(by_own) == fields(Frame(Opcode.TEXT, b"data"))
    assert not isinstance(by_step, FrameReader)
    assert [stepped(by_step) for _ in range(4)] == [
        None,
        None,
        None,
        fields(Frame(Opcode.TEXT, b"data")),
    ]


def test_a_subclass_makes_its_own_frames(fast: None) -> None:
    class Own(Frame):
        pass

    reader = StreamReader()
    reader.feed_data(frame_bytes(1, b"data", masking_key=KEY))
    with pytest.raises(StopIteration) as stop:
        next(Own.parse(reader.read_exact, mask=True))
    assert type(stop.value.value) is Own


def test_a_patched_reader_is_heard(fast: None) -> None:
    def read_exact(self: Any, count: int) -> Any:
        yield from ()
        return bytearray(b"\x81\x00"[:count])

    reader = StreamReader()
    parser = Frame.parse(reader.read_exact, mask=False)
    with mock.patch.object(StreamReader, "read_exact", read_exact):
        patched = Frame.parse(reader.read_exact, mask=False)
        assert stepped(patched) == fields(Frame(Opcode.TEXT, bytearray()))
    assert next(parser) is None


def test_a_mask_that_is_no_bool(fast: None) -> None:
    reader = StreamReader()
    reader.feed_data(frame_bytes(1, b"data", masking_key=KEY))
    assert stepped(Frame.parse(reader.read_exact, mask=1)) == fields(Frame(Opcode.TEXT, b"data"))


@pytest.mark.parametrize("arrived", [0, 1, 3, 5, 8])
def test_functions_are_watched_while_a_frame_arrives(arrived: int) -> None:
    """Each is called where the original calls it, and no more after that."""
    stream = frame_bytes(1, b"d" * 200, masking_key=KEY)

    def fed() -> list[Any]:
        found = []
        for where in ("struct.unpack", "websockets.frames.apply_mask"):
            reader = StreamReader()
            parser = Frame.parse(reader.read_exact, mask=True)
            reader.feed_data(stream[:arrived])
            found.append(stepped(parser))
            reader.feed_data(stream[arrived:])
            with mock.patch(where, side_effect=RuntimeError("BOOM")):
                found.append(outcome(stepped, parser))
        return found

    plain = fed()
    with speedups.installed("websockets", strict=True):
        assert fed() == plain


# --- as a generator ----------------------------------------------------------------------------


def test_it_is_a_generator_as_far_as_one_can_ask(fast: None) -> None:
    reader = StreamReader()
    parser: Any = Frame.parse(reader.read_exact, mask=True)
    assert isinstance(parser, FrameReader)
    assert isinstance(parser, collections.abc.Generator)
    assert iter(parser) is parser
    assert parser.send(None) is None
    reader.feed_data(frame_bytes(1, b"data", masking_key=KEY))
    with pytest.raises(StopIteration) as stop:
        parser.send(None)
    assert stop.value.value == Frame(Opcode.TEXT, b"data")
    with pytest.raises(StopIteration) as again:
        next(parser)
    assert again.value.value is None


def test_it_can_be_closed_and_thrown_into(fast: None) -> None:
    for data in (b"", b"\x81", b"\x83"):
        for kind in (ProtocolError("x"), ProtocolError):
            reader = StreamReader()
            reader.feed_data(data)
            parser: Any = Frame.parse(reader.read_exact, mask=True)
            if data != b"\x83":
                assert next(parser) is None
            with pytest.raises(ProtocolError):
                parser.throw(kind)
            assert stepped(parser) is None
        closed: Any = Frame.parse(StreamReader().read_exact, mask=True)
        closed.close()
        assert stepped(closed) is None


def test_the_originals_generator_is_closed_and_thrown_into(fast: None) -> None:
    def waiting() -> Any:
        reader = StreamReader()
        reader.feed_data(b"\x82\xfe\x00")
        parser: Any = Frame.parse(reader.read_exact, mask=True)
        with mock.patch("struct.unpack", return_value=(0x82, 0xFE)):
            assert next(parser) is None
        return parser

    with pytest.raises(KeyError):
        waiting().throw(KeyError("x"))
    closed = waiting()
    closed.close()
    assert stepped(closed) is None


def test_a_half_read_frame_is_not_pickled(fast: None) -> None:
    parser = Frame.parse(StreamReader().read_exact, mask=True)
    with pytest.raises(TypeError):
        pickle.dumps(parser)


# --- serializing -------------------------------------------------------------------------------


def check_serialized(frame: Any, **options: Any) -> None:
    """The same bytes, or the same error, masked and not."""
    make = options.pop("extensions", lambda: None)

    def serialized(mask: Any) -> Any:
        found = outcome(frame.serialize, mask=mask, extensions=make(), **options)
        if found.kind == "returned":
            return found.value[0], unmasked(found.value[1])
        return found

    plain = [serialized(mask) for mask in (True, False, 1, None)]
    with speedups.installed("websockets", strict=True):
        assert [serialized(mask) for mask in (True, False, 1, None)] == plain


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65535, 65536, 100_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_length_and_form(size: int, kind: Any) -> None:
    check_serialized(Frame(Opcode.BINARY, kind(bytes(size))))
    check_serialized(Frame(Opcode.PONG, kind(bytes(size))))


@pytest.mark.parametrize("opcode", [*Opcode, 1, 8, 3, 16, 255, "x", None, 1.0, True])
@pytest.mark.parametrize("fin", [True, False, 1, 0, None])
def test_every_opcode_and_fin(opcode: Any, fin: Any) -> None:
    check_serialized(Frame(opcode, b"data", fin))
    check_serialized(Frame(opcode, b"data", fin), extensions=lambda: [Mark(b"+")])
    check_serialized(
        Frame(opcode, b"data", fin), extensions=lambda: [PerMessageDeflate(False, False, 12, 12)]
    )


@pytest.mark.parametrize("bit", ["rsv1", "rsv2", "rsv3"])
@pytest.mark.parametrize("value", [True, 1, 0, None])
def test_reserved_bits(bit: str, value: Any) -> None:
    check_serialized(dataclasses.replace(Frame(Opcode.TEXT, b"x"), **{bit: value}))


@pytest.mark.parametrize(
    "data",
    ["text", None, 5, [1], memoryview(b"abcd")[::2], memoryview(b"abcd").cast("H")],
    ids=shown,
)
def test_what_is_no_bytes(data: Any) -> None:
    check_serialized(Frame(Opcode.TEXT, data))
    check_serialized(
        Frame(Opcode.TEXT, data), extensions=lambda: [PerMessageDeflate(False, False, 12, 12)]
    )


@pytest.mark.parametrize("flags", [(False, False), (False, True)])
@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_compression(flags: Any, size: int) -> None:
    def make() -> Any:
        return [PerMessageDeflate(*flags, 12, 12)]

    for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
        for fin in (True, False):
            if opcode is Opcode.CONT and flags[1]:
                continue
            check_serialized(Frame(opcode, bytes(range(10)) * (size // 10), fin), extensions=make)


def test_a_subclass_checks_itself(fast: None) -> None:
    class Lenient(Frame):
        def check(self) -> None:
            pass

    assert Lenient(Opcode.PING, b"x" * 126).serialize(mask=False)[:4] == b"\x89\x7e\x00\x7e"


def test_a_patched_check_is_called(fast: None) -> None:
    with mock.patch.object(Frame, "check", side_effect=ProtocolError("patched")):
        with pytest.raises(ProtocolError, match="patched"):
            Frame(Opcode.TEXT, b"x").serialize(mask=False)


def test_keys_come_from_the_librarys_source(fast: None) -> None:
    with mock.patch("secrets.token_bytes", return_value=b"\x01\x02\x03\x04") as source:
        frame = Frame(Opcode.BINARY, b"\x00" * 5).serialize(mask=True)
    assert frame == b"\x82\x85\x01\x02\x03\x04\x01\x02\x03\x04\x01"
    source.assert_called_once_with(4)
    frames = {Frame(Opcode.BINARY, b"").serialize(mask=True) for _ in range(50)}
    assert len(frames) > 45


def test_frames_stay_what_they_were(fast: None) -> None:
    frame = Frame(Opcode.TEXT, b"x")
    assert pickle.loads(pickle.dumps(frame)) == copy.copy(frame) == frame
    assert dataclasses.is_dataclass(Frame)
    assert str(frame) == "TEXT 'x' [1 byte]"
    assert str(Close.parse(Close(1000, "").serialize())) == "1000 (OK)"
