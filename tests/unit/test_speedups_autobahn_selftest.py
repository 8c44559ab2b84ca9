"""autobahn's self-test: quiet when all is well, and loud when one replacement does otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("autobahn")

from autobahn.websocket import protocol
from autobahn.websocket.protocol import WebSocketProtocol

from wsfast import speedups
from wsfast.speedups import autobahn_selftest
from wsfast.speedups.autobahn import CONNECTION
from wsfast.speedups.selftest import Mismatch, frame_bytes


@pytest.fixture(params=["kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with speedups.installed("autobahn", level=request.param, strict=True):
        yield request.param


@pytest.fixture
def frames() -> Iterator[None]:
    with speedups.installed("autobahn", strict=True):
        yield


def selftest(seeds: range = range(40)) -> None:
    for seed in seeds:
        speedups.registry.library("autobahn").selftest(Random(seed))


def test_agrees(level: str) -> None:
    selftest()


def test_the_adapter_takes_our_path(frames: None) -> None:
    connection = autobahn_selftest.adapter()(True, {})
    connection._dataReceived(frame_bytes(1, "ž".encode(), masking_key=b"four"))
    ((kind, payload, is_binary, seen),) = connection.events
    assert (kind, payload, is_binary) == (bytes, "ž".encode(), False)
    assert seen["frame"] == {"opcode": 1, "fin": True, "rsv": 0, "length": 2, "mask": b"four"}
    assert seen["masker"] == 2 and connection.fired == 0


def test_theirs_takes_the_original_one(frames: None) -> None:
    originals = speedups.registry.library("autobahn").originals
    connection = autobahn_selftest.theirs(originals)(True, {})
    connection._dataReceived(frame_bytes(1, b"text", masking_key=b"four"))
    assert connection.fired == 1
    for name in ("processData", "sendData", "sendFrame", "sendMessage"):
        assert vars(type(connection))[name] is originals[f"{CONNECTION}.{name}"]


# --- what is wrong is seen ---------------------------------------------------------------------


def wrapped(name: str, twist: Any) -> Any:
    ours = vars(WebSocketProtocol)[name]

    def method(self: Any, *given: Any, **named: Any) -> Any:
        return twist(self, ours, *given, **named)

    method.__wsfast__ = method.__wrapped__ = ours.__wrapped__  # type: ignore[attr-defined]
    return method


def forgets_traffic(self: Any, ours: Any) -> Any:
    result = ours(self)
    self.trafficStats.incomingOctetsAppLevel = 0
    return result


def counts_frames_too_long(self: Any, ours: Any) -> Any:
    result = ours(self)
    if not self.current_frame:
        self.frame_length = -1
    return result


def ignores_fin(self: Any, ours: Any, opcode: int, payload: bytes = b"", **named: Any) -> Any:
    return ours(self, opcode, payload, **{**named, "fin": True})


def sends_twice(self: Any, ours: Any, data: bytes, *given: Any) -> None:
    ours(self, data, *given)
    ours(self, data, *given)


def takes_anything(self: Any, ours: Any, payload: Any, *given: Any, **named: Any) -> Any:
    return ours(
        self, bytes(payload, "utf-8") if type(payload) is str else payload, *given, **named
    )


@pytest.mark.parametrize(
    ("name", "twist"),
    [
        ("processData", forgets_traffic),
        ("processData", counts_frames_too_long),
        ("sendFrame", ignores_fin),
        ("sendData", sends_twice),
        ("sendMessage", takes_anything),
    ],
)
def test_a_method_that_does_otherwise_is_seen(frames: None, name: str, twist: Any) -> None:
    with mock.patch.object(WebSocketProtocol, name, wrapped(name, twist)):
        with pytest.raises(Mismatch):
            selftest()


def test_a_method_that_is_not_ours_is_seen(frames: None) -> None:
    originals = speedups.registry.library("autobahn").originals
    original = originals[f"{CONNECTION}.processData"]
    with mock.patch.object(WebSocketProtocol, "processData", original):
        with pytest.raises(Mismatch, match="processData is not ours"):
            selftest()


def test_a_fast_path_that_is_never_taken_is_seen(frames: None) -> None:
    with mock.patch.object(protocol, "XorMaskerNull", lambda: None):
        with pytest.raises(Mismatch, match="did not come in through ours"):
            selftest()


def test_another_masker_is_seen(level: str) -> None:
    def create(mask: bytes, length: int | None = None) -> Any:
        return protocol.XorMaskerNull()

    with mock.patch.object(protocol, "create_xor_masker", create):
        with pytest.raises(Mismatch):
            selftest()


def test_another_validator_is_seen(level: str) -> None:
    class Lenient(protocol.Utf8Validator):  # type: ignore[misc]
        def validate(self, ba: bytes) -> Any:
            return (True, True, len(ba), len(ba))

    with mock.patch.object(protocol, "Utf8Validator", Lenient):
        with pytest.raises(Mismatch):
            selftest()


# --- its helpers, and what bench times ---------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 126, 70_000])
def test_frames_are_told_apart_without_their_keys(size: int) -> None:
    payload = bytes(size)
    one, other = (frame_bytes(2, payload, masking_key=key) for key in (b"1234", b"5678"))
    assert autobahn_selftest.unmasked(one) == autobahn_selftest.unmasked(other)
    plain = frame_bytes(2, payload)
    assert autobahn_selftest.unmasked(plain) == plain
    assert autobahn_selftest.unmasked(b"\x81") == b"\x81"


def test_workloads_run(level: str) -> None:
    works = autobahn_selftest.workloads()
    assert {work.size for work in works} == {125, 65536}
    for work in works:
        work.run()
    autobahn_selftest._loop().run_until_complete(nothing())
    autobahn_selftest._loop().close()
    autobahn_selftest._loop.cache_clear()


async def nothing() -> None:
    """What the loop ends with."""
