"""Tornado's _write_frame: the same bytes to the same stream, with keys from os.urandom."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("tornado")

from tornado import websocket as module
from tornado.websocket import WebSocketProtocol13

from wsfast.speedups.selftest import SIZES, outcome
from wsfast.speedups.tornado_selftest import Link, parameters
from wsfast.speedups.tornado_writer import make_write_frame

MASKS = pytest.mark.parametrize("masks", [True, False], ids=["masked", "plain"])

original = WebSocketProtocol13._write_frame
ours = make_write_frame(original)


@pytest.fixture(autouse=True)
def fast() -> Iterator[None]:
    with mock.patch.object(WebSocketProtocol13, "_write_frame", ours):
        yield


@pytest.fixture
def known_key() -> Iterator[None]:
    """Whoever replaces os.urandom decides the keys."""
    with mock.patch.object(os, "urandom", lambda size: b"\x12\x34\x56\x78"[:size]):
        yield


def written(write_frame: Any, masks: bool, *arguments: Any) -> Any:
    link = Link(masks, parameters())
    done = outcome(write_frame, link.protocol, *arguments)
    kind = done.value if done.kind == "raised" else done.value[0]
    frames = [(type(each), each) for each in link.stream.written]
    return done.kind, kind, frames, link.protocol._wire_bytes_out


# --- the bytes ---------------------------------------------------------------------------------


@MASKS
@pytest.mark.parametrize("size", [*SIZES, 65535, 65536, 300_000])
def test_frames_are_the_same(size: int, masks: bool, known_key: None) -> None:
    data = Random(size).randbytes(size)
    size_of_control = size <= 125
    for opcode in (1, 2, 9) if size_of_control else (1, 2):
        mine = written(ours, masks, True, opcode, data)
        assert mine == written(original, masks, True, opcode, data)
        assert mine[0] == "returned"


@MASKS
@pytest.mark.parametrize("fin", [True, False, 1, 0, None, "yes", []])
@pytest.mark.parametrize("flags", [0, 0x40, 0x70, 0x80, 256, -1, None, 1 << 70])
def test_every_opcode_and_every_flag(fin: Any, flags: Any, masks: bool, known_key: None) -> None:
    for opcode in (*range(16), 0x80, 256, -1, True, None, "1", 1.0, 1 << 70):
        arguments = fin, opcode, b"data", flags
        assert written(ours, masks, *arguments) == written(original, masks, *arguments)


@MASKS
@pytest.mark.parametrize(
    "data",
    [bytearray(b"data"), memoryview(b"data"), memoryview(b"dada")[::2], "data", None, 4, [1, 2]],
    ids=lambda value: type(value).__name__,
)
def test_data_of_other_types(data: Any, masks: bool, known_key: None) -> None:
    assert written(ours, masks, True, 2, data) == written(original, masks, True, 2, data)


@MASKS
def test_control_frames_that_are_none(masks: bool) -> None:
    for arguments, message in (
        ((False, 9, b""), "control frames may not be fragmented"),
        ((True, 8, bytes(126)), "control frame payloads may not exceed 125 bytes"),
        ((True, 15, bytes(126)), "control frame payloads may not exceed 125 bytes"),
    ):
        link = Link(masks, parameters())
        with pytest.raises(ValueError, match=f"^{message}$"):
            link.protocol._write_frame(*arguments)
        assert link.stream.written == []
        assert link.protocol._wire_bytes_out == 0


# --- whom it asks ------------------------------------------------------------------------------


def test_keys_differ() -> None:
    link = Link(True, parameters())
    for _ in range(100):
        link.protocol._write_frame(True, 2, bytes(4))
    keys = [frame[2:6] for frame in link.stream.written]
    assert all(frame[6:] == frame[2:6] for frame in link.stream.written)
    assert len(set(keys)) == 100


def test_keys_are_those_of_a_replaced_urandom() -> None:
    link = Link(True, parameters())
    with mock.patch.object(os, "urandom", return_value=b"\x01\x02\x03\x04") as urandom:
        link.protocol._write_frame(True, 2, bytes(4))
    assert link.stream.written == [b"\x82\x84\x01\x02\x03\x04\x01\x02\x03\x04"]
    assert urandom.call_args_list == [mock.call(4)]
    link.protocol._write_frame(True, 2, bytes(4))
    assert urandom.call_count == 1


@pytest.mark.parametrize("key", [b"", b"123", b"12345", bytearray(b"1234"), "1234", None])
def test_keys_that_are_none(key: Any) -> None:
    with mock.patch.object(os, "urandom", lambda size: key):
        mine = written(ours, True, True, 2, b"data")
        assert mine == written(original, True, True, 2, b"data")


def test_a_server_needs_no_key() -> None:
    link = Link(False, parameters())
    with mock.patch.object(os, "urandom", side_effect=AssertionError):
        link.protocol._write_frame(True, 1, b"data")
    assert link.stream.written == [b"\x81\x04data"]


def test_what_the_stream_returns_is_returned() -> None:
    link = Link(False, parameters())
    future = object()
    with mock.patch.object(link.stream, "write", return_value=future):
        assert link.protocol._write_frame(True, 1, b"data") is future


def test_what_the_stream_raises_is_raised_after_counting() -> None:
    for write_frame in (ours, original):
        link = Link(False, parameters())
        with mock.patch.object(link.stream, "write", side_effect=OSError("gone")):
            with pytest.raises(OSError, match="^gone$"):
                write_frame(link.protocol, True, 1, b"data")
        assert link.protocol._wire_bytes_out == 6


def test_another_mask_is_used() -> None:
    link = Link(True, parameters())
    with mock.patch.object(module, "_websocket_mask", lambda mask, data: data):
        link.protocol._write_frame(True, 2, b"data")
    link.protocol._write_frame(True, 2, b"data")
    assert [each.endswith(b"data") for each in link.stream.written] == [True, False]


def test_a_subclass_hears_of_every_frame() -> None:
    class Counting(WebSocketProtocol13):
        frames = 0

        def _write_frame(self, *arguments: Any, **named: Any) -> Any:
            self.frames += 1
            return super()._write_frame(*arguments, **named)

    link = Link(True, parameters())
    protocol = Counting(link.handler, True, parameters())  # type: ignore[arg-type]
    protocol.stream = link.stream
    protocol.write_ping(b"ping")
    protocol._write_frame(fin=True, opcode=1, data=b"named", flags=0)
    assert protocol.frames == len(link.stream.written) == 2


def test_it_looks_like_the_original() -> None:
    assert ours.__name__ == original.__name__
    assert ours.__qualname__ == original.__qualname__
    assert ours.__doc__ == original.__doc__
    assert ours.__wrapped__ is original
    parameters = inspect.signature(ours).parameters
    assert list(parameters) == ["self", "fin", "opcode", "data", "flags"]
    assert parameters["flags"].default == 0
