"""The self-test of Tornado's replacements: quiet about ours, and loud about any other."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("tornado")

from tornado import websocket as module
from tornado.websocket import WebSocketProtocol13

from wsfast.speedups import tornado_selftest
from wsfast.speedups.selftest import Mismatch, frame_bytes, outcome, typed
from wsfast.speedups.tornado_mask import make_websocket_mask
from wsfast.speedups.tornado_receiver import make_receive_frame
from wsfast.speedups.tornado_selftest import (
    MASK,
    PROTOCOL,
    Link,
    Loop,
    Running,
    parameters,
    selftest,
)
from wsfast.speedups.tornado_writer import make_write_frame

#: Enough that each of the mistakes below shows.
ROUNDS = 60

mask = module._websocket_mask
write_frame = WebSocketProtocol13._write_frame
receive_frame = WebSocketProtocol13._receive_frame


def check_mask(ours: Any) -> None:
    with mock.patch.object(module, "_websocket_mask", ours):
        for number in range(ROUNDS):
            selftest({MASK: mask}, "kernels", Random(number))


def check_frames(*, write: Any = None, receive: Any = None) -> None:
    originals = {
        PROTOCOL + "_write_frame": write_frame,
        PROTOCOL + "_receive_frame": receive_frame,
    }
    with (
        mock.patch.object(
            WebSocketProtocol13, "_write_frame", write or make_write_frame(write_frame)
        ),
        mock.patch.object(
            WebSocketProtocol13, "_receive_frame", receive or make_receive_frame(receive_frame)
        ),
    ):
        for number in range(ROUNDS):
            selftest(originals, "frames", Random(number))


# --- ours --------------------------------------------------------------------------------------


def test_our_mask_passes() -> None:
    check_mask(make_websocket_mask(mask))


def test_our_frames_pass() -> None:
    check_frames()


def test_it_passes_inside_of_a_coroutine_and_leaves_its_loop_alone() -> None:
    async def check() -> bool:
        loop = asyncio.get_running_loop()
        check_frames()
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is loop

    assert asyncio.run(check())


# --- others ------------------------------------------------------------------------------------


def as_bytearray(given: bytes, data: bytes) -> Any:
    return bytearray(mask(given, data))


def rotated(given: bytes, data: bytes) -> bytes:
    return mask(given[1:] + given[:1] if len(data) > 64 else given, data)


def lenient(given: bytes, data: Any) -> bytes:
    return mask((given + given)[:4], data)


@pytest.mark.parametrize("wrong", [as_bytearray, rotated, lenient])
def test_a_wrong_mask_is_found(wrong: Any) -> None:
    with pytest.raises(Mismatch, match="_websocket_mask"):
        check_mask(wrong)


def uncounted(self: Any, *arguments: Any) -> Any:
    before = self._wire_bytes_out
    try:
        return write_frame(self, *arguments)
    finally:
        self._wire_bytes_out = before


def without_a_future(self: Any, *arguments: Any) -> None:
    write_frame(self, *arguments)


def of_any_size(self: Any, fin: Any, opcode: Any, data: Any, flags: int = 0) -> Any:
    return write_frame(self, fin, opcode, data[:125] if opcode == 9 else data, flags)


def as_bytearrays(self: Any, *arguments: Any) -> Any:
    write = self.stream.write
    with mock.patch.object(self.stream, "write", lambda frame: write(bytearray(frame))):
        return write_frame(self, *arguments)


@pytest.mark.parametrize("wrong", [uncounted, without_a_future, of_any_size, as_bytearrays])
def test_a_wrong_write_frame_is_found(wrong: Any) -> None:
    with pytest.raises(Mismatch, match="_write_frame"):
        check_frames(write=wrong)


def test_a_receive_frame_that_is_not_reached_is_found() -> None:
    with pytest.raises(Mismatch, match="not reached"):
        check_frames(receive=receive_frame)


@pytest.mark.parametrize("name", ["_wire_bytes_in", "_message_bytes_in", "_read_buffer_size"])
def test_a_wrong_receive_frame_is_found(name: str) -> None:
    ours = make_receive_frame(receive_frame)

    async def wrong(self: Any) -> None:
        await ours(self)
        owner = self.stream if name == "_read_buffer_size" else self
        setattr(owner, name, getattr(owner, name) + 1)

    with pytest.raises(Mismatch, match="_receive_frame"):
        check_frames(receive=wrong)


# --- its tools ---------------------------------------------------------------------------------


def test_a_link_receives_what_arrives() -> None:
    link = Link(False, parameters())
    stream = frame_bytes(1, b"one", masking_key=b"abcd") + frame_bytes(2, b"two")
    seen = link.receive(receive_frame, [stream[:3], stream[3:]])
    assert link.handler.log == [("message", typed(("one",))), ("message", typed((b"two",)))]
    assert [each[0].value[1] for each in seen] == [True, True, False]


def test_a_link_stops_when_the_connection_ends() -> None:
    link = Link(False, parameters(limit=10))
    link.receive(receive_frame, [frame_bytes(2, bytes(11)) + frame_bytes(2, b"after")])
    assert link.stream._closed
    assert link.handler.log == []
    assert link.stream.written == [b"\x88\x11\x03\xf1message too big"]


def test_a_running_loop_is_put_back_when_something_fails() -> None:
    before = outcome(asyncio.get_running_loop)
    with pytest.raises(KeyError), Running(Loop()):
        raise KeyError
    assert outcome(asyncio.get_running_loop) == before


def test_a_loop_counts_futures() -> None:
    loop = Loop()
    with Running(loop):
        futures = [asyncio.Future() for _ in range(3)]  # type: ignore[var-annotated]
    assert loop.futures == len(futures)


def test_everything_that_frames_can_be_is_generated() -> None:
    random, firsts = Random(5), set()
    for _ in range(400):
        firsts.add(b"".join(tornado_selftest._frames(random, True))[:1])
    assert {bytes([each]) for each in (0x01, 0x02, 0x81, 0x82, 0x88, 0xC1, 0xC2)} <= firsts
    assert any(each[0] & 0x10 for each in firsts)
    assert any(each[0] & 0x0F == 11 for each in firsts)
