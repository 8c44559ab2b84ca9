"""gevent-websocket's self-test: quiet when all is well, loud when something does otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("geventwebsocket")

from geventwebsocket import websocket as module
from geventwebsocket.websocket import Header, WebSocket

from wsfast import speedups
from wsfast.speedups import gevent_websocket_selftest
from wsfast.speedups.gevent_websocket_selftest import Stream
from wsfast.speedups.selftest import Mismatch


@pytest.fixture(params=["kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with speedups.installed("gevent-websocket", level=request.param, strict=True):
        yield request.param


@pytest.fixture
def frames() -> Iterator[None]:
    with speedups.installed("gevent-websocket", strict=True):
        yield


def selftest(seeds: range = range(40)) -> None:
    for seed in seeds:
        speedups.registry.library("gevent-websocket").selftest(Random(seed))


def test_agrees(level: str) -> None:
    selftest()


@pytest.mark.parametrize("name", ["mask_payload", "unmask_payload"])
def test_a_mask_that_does_otherwise_is_seen(level: str, name: str) -> None:
    genuine = vars(Header)[name]
    with mock.patch.object(Header, name, lambda self, payload: bytes(genuine(self, payload))):
        with pytest.raises(Mismatch):
            selftest()


def test_another_validator_is_seen(level: str) -> None:
    class Lenient(module.Utf8Validator):  # type: ignore[misc]
        def validate(self, ba: bytes) -> Any:
            return (True, True, len(ba), len(ba))

    with mock.patch.object(module, "Utf8Validator", Lenient):
        with pytest.raises(Mismatch):
            selftest()


def test_another_header_is_seen(frames: None) -> None:
    genuine = Header.decode_header

    def decode_header(cls: Any, stream: Any) -> Any:
        header = genuine(stream)
        header.fin = int(header.fin)
        return header

    with mock.patch.object(Header, "decode_header", classmethod(decode_header)):
        with pytest.raises(Mismatch, match="decode_header"):
            selftest()


def test_a_stream_that_is_read_too_far_is_seen(frames: None) -> None:
    genuine = Header.decode_header

    def decode_header(cls: Any, stream: Any) -> Any:
        header = genuine(stream)
        stream.read(1)
        return header

    with mock.patch.object(Header, "decode_header", classmethod(decode_header)):
        with pytest.raises(Mismatch):
            selftest()


def test_another_message_is_seen(frames: None) -> None:
    genuine = WebSocket.read_message

    def read_message(self: Any) -> Any:
        message = genuine(self)
        return bytes(message) if type(message) is bytearray else message

    with mock.patch.object(WebSocket, "read_message", read_message):
        with pytest.raises(Mismatch):
            selftest()


def test_messages_that_do_not_come_through_ours_are_seen(frames: None) -> None:
    originals = speedups.registry.library("gevent-websocket").originals
    original = originals["geventwebsocket.websocket:WebSocket.read_message"]
    with mock.patch.object(WebSocket, "read_message", original):
        with pytest.raises(Mismatch, match="through ours"):
            selftest()


def test_a_stream_ends_as_it_is_told() -> None:
    assert Stream(b"abc").read(5) == b"abc"
    with pytest.raises(OSError, match="gone"):
        Stream(b"abc", OSError("gone")).read(5)
    assert Stream(b"abc", OSError("gone")).read(3) == b"abc"


def test_workloads_run(level: str) -> None:
    works = gevent_websocket_selftest.workloads()
    results = {(work.name, work.size): work.run() for work in works}
    assert results["receive text", 125] == "a" * 125
    assert results["receive binary", 65536] == b"a" * 65536
