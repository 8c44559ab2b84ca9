"""websockets' sans-I/O core, replaced: reads, frames, limits, refusals, hooks, what is sent."""

from __future__ import annotations

import contextlib
import itertools
import logging
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

import websockets.frames
from websockets.client import ClientProtocol
from websockets.exceptions import ProtocolError
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome, typed
from wsfast.speedups.websockets_selftest import called_by, seen

KEY = b"\xa1\x02\xf3\x04"
CUTS = [1, 2, 3, 7, 100_000]
SIDES = [SERVER, CLIENT]

#: What the library passes for a frame, and ours must not.
LIBRARY_CODE = {"serialize", "send_frame", "recv_frame", "check"}


def deflate(*flags: bool) -> list[Any]:
    return [PerMessageDeflate(*(flags or (False, False)), 12, 12, {})]


def key_of(side: Any) -> bytes | None:
    """The masking key of frames that are sent to a side."""
    return KEY if side is SERVER else None


def built(side: Any, opcode: int, payload: bytes, **options: Any) -> bytes:
    return frame_bytes(opcode, payload, masking_key=key_of(side), **options)


def compressed(*parts: bytes) -> list[bytes]:
    """The parts of a message as they travel compressed."""
    compressor = zlib.compressobj(wbits=-12)
    done = [compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    return [*done[:-1], done[-1][:-4]]


def received(
    stream: bytes,
    cut: int,
    side: Any = SERVER,
    make: Callable[..., Any] = Protocol,
    extensions: Callable[[], list[Any]] = list,
    kind: Any = bytes,
    **options: Any,
) -> list[Any]:
    """Everything that can be seen of a connection, after every piece of a stream and its end."""
    protocol = make(side, **options)
    protocol.extensions = extensions()
    found = []
    for start in range(0, len(stream), cut):
        said = outcome(protocol.receive_data, kind(stream[start : start + cut]))
        found.append((said, seen(protocol)))
    found.append((outcome(protocol.receive_eof), seen(protocol)))
    return found


def check(*streams: bytes, cuts: Any = CUTS, **options: Any) -> list[Any]:
    """The same with the speedups as without, in pieces of any size."""
    each = list(itertools.product(streams, cuts))
    plain = [received(stream, cut, **options) for stream, cut in each]
    with speedups.installed("websockets", strict=True):
        ours = [received(stream, cut, **options) for stream, cut in each]
    assert ours == plain
    return ours


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


# --- what is received --------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_frames_of_every_length(side: Any) -> None:
    streams = [
        b"".join(built(side, opcode, bytes(range(size))) for opcode in (1, 2, 1))
        for size in (0, 1, 2, 3, 4, 5, 31, 124, 125, 126, 127, 255)
    ]
    check(*streams, side=side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", [65535, 65536, 300_000])
def test_large_frames_in_reads_of_any_size(side: Any, size: int) -> None:
    stream = built(side, 2, bytes(range(250)) * (size // 250)) + built(side, 1, b"after it")
    check(stream, cuts=[1460, 16384, 65536, 10**6], side=side)


@pytest.mark.parametrize("side", SIDES)
def test_fragments_with_control_frames_between_them(side: Any) -> None:
    parts = [
        built(side, 1, b"first", fin=False),
        built(side, 9, b"ping"),
        built(side, 0, b"", fin=False),
        built(side, 10, b"pong"),
        built(side, 0, b"last"),
        built(side, 2, b"next"),
    ]
    check(b"".join(parts), side=side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "frames",
    [
        [(3, b"reserved", {})],
        [(11, b"reserved", {})],
        [(1, b"rsv", {"rsv": 4})],
        [(1, b"rsv", {"rsv": 3})],
        [(9, b"rsv", {"rsv": 4})],
        [(0, b"nothing to continue", {})],
        [(1, b"begun", {"fin": False}), (2, b"another", {})],
        [(1, b"begun", {"fin": False}), (8, b"", {})],
        [(9, b"x" * 126, {})],
        [(9, b"x", {"fin": False})],
        [(8, b"x", {})],
        [(8, b"\x03\xed", {})],
        [(8, b"\x03\xe8\xff", {})],
        [(8, b"\x03\xe8bye", {}), (1, b"ignored", {})],
        [(1, b"long form", {"length_form": 16})],
        [(2, b"longer form", {"length_form": 64})],
    ],
)
def test_what_is_wrong_or_last_is_left_to_the_library(side: Any, frames: Any) -> None:
    good = built(side, 1, b"good")
    stream = b"".join(built(side, opcode, data, **options) for opcode, data, options in frames)
    check(good + stream + good, stream, side=side)


@pytest.mark.parametrize("side", SIDES)
def test_the_wrong_masking_and_a_length_that_never_ends(side: Any) -> None:
    other = CLIENT if side is SERVER else SERVER
    endless = bytes([0x82, (side is SERVER) << 7 | 127]) + b"\xff" * 8 + b"some"
    for limit in (None, 1000):
        check(built(side, 1, b"x") + built(other, 1, b"y"), endless, side=side, max_size=limit)


@pytest.mark.parametrize("limit", [None, 0, 4, 10, (10, 4), (None, 4), (10, None)])
def test_limits(limit: Any) -> None:
    if isinstance(limit, tuple) and not hasattr(Protocol(SERVER), "max_fragment_size"):
        pytest.skip("max_size is one number before websockets 16")
    streams = [
        built(SERVER, 1, b"12345"),
        built(SERVER, 1, b"123", fin=False) + built(SERVER, 0, b"4567", fin=False) * 3,
        built(SERVER, 1, b"") + built(SERVER, 9, b"a ping of 13 b"),
        built(SERVER, 2, b"1234", fin=False) + built(SERVER, 0, b"123456") * 2,
    ]
    check(*streams, max_size=limit)


@pytest.mark.parametrize("limit", [3.5, True, 1 << 80, -1])
def test_limits_that_are_no_usual_numbers(limit: Any) -> None:
    def make(side: Any) -> Protocol:
        protocol = Protocol(side)
        protocol.max_message_size = protocol.max_size = limit
        return protocol

    check(built(SERVER, 1, b"1234") * 2, make=make)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_type_of_input(kind: Any) -> None:
    check(built(SERVER, 1, b"hello") * 3, kind=kind)


@pytest.mark.parametrize("data", [None, "text", 3, [1], b""])
def test_what_is_no_bytes(data: Any, fast: None) -> None:
    def fed() -> Any:
        protocol = Protocol(SERVER)
        return outcome(protocol.receive_data, data), seen(protocol)

    ours = fed()
    with mock.patch.object(Protocol, "receive_data", vars(Protocol)["receive_data"].__wrapped__):
        assert ours == fed()


def test_nothing_is_received_after_the_end(fast: None) -> None:
    (protocol := Protocol(SERVER)).receive_eof()
    with pytest.raises(EOFError, match="stream ended"):
        protocol.receive_data(built(SERVER, 1, b"late"))


def test_connections_with_their_handshake() -> None:
    def talk(cut: int) -> list[Any]:
        client, server = ClientProtocol(parse_uri("ws://localhost/")), ServerProtocol()
        client.send_request(client.connect())
        server.receive_data(b"".join(client.data_to_send()))
        server.send_response(server.accept(server.events_received()[0]))
        server.send_text(b"at once")
        server.send_binary(b"and more " * 20)
        stream = b"".join(server.data_to_send())
        events = []
        for start in range(0, len(stream), cut):
            client.receive_data(stream[start : start + cut])
            events += client.events_received()
        return [typed((each.opcode, each.data)) for each in events[1:]]

    plain = talk(1000)
    with speedups.installed("websockets", strict=True):
        assert all(talk(cut) == plain for cut in (*CUTS, 150, 170))
    assert len(plain) == 2


# --- the generator stays where it was ----------------------------------------------------------


def test_a_message_passes_none_of_the_librarys_code(fast: None) -> None:
    server = ServerProtocol(state=OPEN)
    waits_at = server.parser.gi_yieldfrom.gi_yieldfrom
    found = called_by(server.receive_data, built(SERVER, 1, b"x") * 3 + built(SERVER, 10, b""))
    found |= called_by(server.send_text, b"y")
    assert not found & LIBRARY_CODE
    assert len(server.events_received()) == 4
    assert server.parser.gi_yieldfrom.gi_yieldfrom is waits_at


def test_it_is_put_in_and_taken_out_at_any_byte(fast: None) -> None:
    stream = b"".join(
        built(SERVER, opcode, data, fin=fin)
        for opcode, data, fin in (
            (1, b"one", True),
            (2, b"x" * 130, False),
            (9, b"", True),
            (0, b"y", True),
        )
    )

    def switched(first: bool, at: int) -> list[Any]:
        protocol, found = Protocol(SERVER), []
        for data, ours in ((stream[:at], first), (stream[at:], not first)):
            with contextlib.nullcontext() if ours else originals():
                protocol.receive_data(data)
                found.append(seen(protocol))
        return found

    for at in range(len(stream)):
        assert switched(True, at) == switched(False, at)


@contextlib.contextmanager
def originals() -> Iterator[None]:
    """What uninstall() puts back, without what install() checks."""
    parse = classmethod(vars(Frame)["parse"].__func__.__wrapped__)
    receive_data = vars(Protocol)["receive_data"].__wrapped__
    with mock.patch.object(Frame, "parse", parse):
        with mock.patch.object(Protocol, "receive_data", receive_data):
            yield


def test_what_is_put_into_the_buffer_comes_first(fast: None) -> None:
    protocol = Protocol(SERVER)
    whole = built(SERVER, 1, b"by hand")
    protocol.reader.buffer += whole[:5]
    protocol.receive_data(whole[5:])
    (event,) = protocol.events_received()
    assert event == Frame(Opcode.TEXT, b"by hand")


# --- permessage-deflate ------------------------------------------------------------------------


def messages(side: Any, *parts: bytes) -> bytes:
    """One compressed message."""
    frames = []
    for number, data in enumerate(compressed(*parts)):
        first, last = number == 0, number == len(parts) - 1
        frames.append(built(side, 1 if first else 0, data, rsv=4 * first, fin=last))
    return b"".join(frames)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("flags", [(), (True, False), (False, True), (True, True)])
def test_compressed_messages(side: Any, flags: Any) -> None:
    noise = bytes(range(256)) * 20
    streams = [
        messages(side, b"one part"),
        messages(side, b"in", b"", b"parts"),
        messages(side, b"") + built(side, 1, b"not compressed"),
        messages(side, noise, noise[::-1]),
        built(side, 1, b"not", fin=False) + built(side, 0, b"compressed"),
    ]
    check(*streams, side=side, extensions=lambda: deflate(*flags))


@pytest.mark.parametrize("size", [2042, 2043, 2044, 2045, 5000])
def test_compressed_payloads_around_the_size_that_the_library_cuts_at(size: int) -> None:
    padding = len(compressed_raw(size)) - size
    stream = built(SERVER, 2, compressed_raw(size - padding), rsv=4)
    for limit in (None, size, size // 2):
        check(stream, cuts=[100_000], extensions=deflate, max_size=limit)


def compressed_raw(size: int) -> bytes:
    compressor = zlib.compressobj(0, wbits=-12)
    return (compressor.compress(bytes(size)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("limit", [0, 10, 99, 100, 1 << 20])
def test_a_compressed_message_that_is_too_long(limit: int) -> None:
    (bomb,) = compressed(b"a" * 100)
    stream = built(SERVER, 1, bomb, rsv=4) + built(SERVER, 1, b"after")
    check(stream, messages(SERVER, b"b" * 60, b"b" * 60), extensions=deflate, max_size=limit)


def test_compressed_data_that_is_broken() -> None:
    broken = built(SERVER, 1, b"\xff\xff\xff\xff", rsv=4)
    found = check(broken + built(SERVER, 1, b"x"), extensions=deflate)
    assert "decompression failed" in repr(found)
    continued = built(SERVER, 1, compressed(b"x", b"y")[0], rsv=4, fin=False)
    check(continued + built(SERVER, 0, b"", rsv=4), extensions=deflate)


def test_an_error_of_the_extension_reaches_the_generator(fast: None) -> None:
    protocol = Protocol(SERVER)
    protocol.extensions = deflate()
    with mock.patch.object(protocol.extensions[0], "decoder") as decoder:
        decoder.decompress.side_effect = RuntimeError("not of zlib")
        with mock.patch.object(protocol.logger, "error") as error:
            protocol.receive_data(built(SERVER, 1, b"x", rsv=4) + built(SERVER, 1, b"y"))
    error.assert_called_once_with("parser failed", exc_info=True)
    assert str(protocol.parser_exc) == "not of zlib"
    assert protocol.close_sent is not None and protocol.close_sent.code == 1011
    assert protocol.reader.buffer == b""


def test_what_is_no_exception_ends_the_generator(fast: None) -> None:
    protocol = Protocol(SERVER)
    protocol.extensions = deflate()
    with mock.patch.object(protocol.extensions[0], "decoder") as decoder:
        decoder.decompress.side_effect = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            protocol.receive_data(built(SERVER, 1, b"x", rsv=4))
    with pytest.raises(StopIteration):
        next(protocol.parser)


class Rsv2(Extension):
    """Somebody's own extension."""

    name = "x-rsv2"  # type: ignore[assignment]

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        assert frame.rsv2
        return Frame(frame.opcode, frame.data[::-1], frame.fin)


class Quiet(PerMessageDeflate):
    """A subclass that need not differ."""


@pytest.mark.parametrize(
    "extensions",
    [
        lambda: [Rsv2()],
        lambda: (Rsv2(),),
        lambda: [Quiet(False, False, 12, 12)],
        lambda: [*deflate(), Rsv2()],
        tuple,
    ],
)
def test_other_extensions_are_called_by_the_library(extensions: Any) -> None:
    with_rsv = built(SERVER, 1, b"abc", rsv=2) + built(SERVER, 9, b"def", rsv=2)
    check(with_rsv, built(SERVER, 1, b"abc") * 2, cuts=[3, 1000], extensions=extensions)


# --- hooks -------------------------------------------------------------------------------------


class Counting(Protocol):
    """Overrides what it may override."""

    def __init__(self, side: Any, **options: Any) -> None:
        self.calls: list[str] = []
        super().__init__(side, **options)

    def recv_frame(self, frame: Any) -> None:
        self.calls.append(f"recv {frame.opcode.name}")
        super().recv_frame(frame)

    def send_frame(self, frame: Any) -> None:
        self.calls.append(f"send {frame.opcode.name}")
        super().send_frame(frame)


class Parsing(Protocol):
    """Looks at every step of the parser."""

    steps = 0

    def parse(self) -> Any:
        for step in super().parse():
            self.steps += 1
            yield step


def test_subclasses_are_heard(fast: None) -> None:
    protocol = Counting(SERVER)
    protocol.receive_data(built(SERVER, 1, b"x") + built(SERVER, 9, b"y"))
    protocol.send_binary(b"z")
    assert protocol.calls == ["recv TEXT", "recv PING", "send PONG", "send BINARY"]
    parsing = Parsing(SERVER)
    for _ in range(3):
        parsing.receive_data(built(SERVER, 1, b"x"))
    assert parsing.steps == 4
    assert len(parsing.events_received()) == 3


def test_attributes_of_an_instance_are_heard(fast: None) -> None:
    protocol = Protocol(SERVER)
    protocol.recv_frame = mock.Mock()  # type: ignore[method-assign]
    protocol.send_frame = mock.Mock()  # type: ignore[method-assign]
    protocol.receive_data(built(SERVER, 1, b"x"))
    protocol.send_text(b"y")
    protocol.recv_frame.assert_called_once_with(Frame(Opcode.TEXT, b"x"))
    protocol.send_frame.assert_called_once_with(Frame(Opcode.TEXT, b"y"))


def test_a_pong_that_cannot_be_sent_fails_the_connection() -> None:
    def make(side: Any) -> Protocol:
        protocol = Protocol(side)
        protocol.send_frame = mock.Mock(side_effect=ProtocolError("no"))  # type: ignore[method-assign]
        protocol.fail = lambda *args: protocol.calls.append(args)  # type: ignore
        protocol.calls = []  # type: ignore[attr-defined]
        return protocol

    def fed() -> Any:
        protocol: Any = make(SERVER)
        protocol.receive_data(built(SERVER, 1, b"x") + built(SERVER, 9, b"y"))
        return protocol.calls, seen(protocol)[0], str(protocol.parser_exc)  # type: ignore[index]

    plain = fed()
    with speedups.installed("websockets", strict=True):
        assert fed() == plain


def test_a_parser_that_is_made_to_fail(fast: None) -> None:
    protocol = Protocol(SERVER)
    with mock.patch("struct.unpack", side_effect=RuntimeError("BOOM")):
        protocol.receive_data(built(SERVER, 1, b"x"))
    assert str(protocol.parser_exc) == "BOOM"


def test_another_mask_function_is_called(fast: None) -> None:
    protocol = Protocol(SERVER)
    with mock.patch.object(websockets.frames, "apply_mask", return_value=b"masked") as masking:
        protocol.receive_data(built(SERVER, 1, b"x"))
        protocol.send_text(b"")
    masking.assert_called_once()
    assert protocol.events_received() == [Frame(Opcode.TEXT, b"masked")]


def test_another_frame_class_is_used(fast: None) -> None:
    class Other(Frame):
        pass

    protocol = Protocol(SERVER)
    with mock.patch("websockets.protocol.Frame", Other):
        protocol.receive_data(built(SERVER, 1, b"x"))
    assert [type(each) for each in protocol.events_received()] == [Other]


def test_debug_logging(caplog: pytest.LogCaptureFixture) -> None:
    def logged() -> list[Any]:
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="websockets.server"):
            protocol = Protocol(SERVER)
            protocol.receive_data(built(SERVER, 1, b"x") + built(SERVER, 9, b"y"))
            protocol.send_text(b"z", False)
            protocol.send_continuation(b"", True)
        return [(each.getMessage(), each.funcName) for each in caplog.records]

    plain = logged()
    with speedups.installed("websockets", strict=True):
        assert logged() == plain
    assert len(plain) > 4
