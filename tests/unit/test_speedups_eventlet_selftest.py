"""eventlet's self-test: quiet when all is well, loud when one replacement does otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("eventlet")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that it is deprecated
    from eventlet import websocket as module
    from eventlet.websocket import RFC6455WebSocket

from wsfast import speedups
from wsfast.speedups import eventlet_selftest
from wsfast.speedups.eventlet_selftest import Socket
from wsfast.speedups.selftest import Mismatch


@pytest.fixture(params=["kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with speedups.installed("eventlet", level=request.param, strict=True):
        yield request.param


@pytest.fixture
def frames() -> Iterator[None]:
    with speedups.installed("eventlet", strict=True):
        yield


def selftest(seeds: range = range(40)) -> None:
    for seed in seeds:
        speedups.registry.library("eventlet").selftest(Random(seed))


def test_agrees(level: str) -> None:
    selftest()


MASKS: dict[str, Any] = {
    "no phase": lambda genuine: lambda data, mask, length=None, offset=0: genuine(data, mask),
    "bytearrays": lambda genuine: lambda *given: bytearray(genuine(*given)),
    "no error": lambda genuine: (
        lambda data, mask, length=None, offset=0: genuine(
            data, mask, min(length or 0, len(data)), offset
        )
    ),
}


@pytest.mark.parametrize("twist", MASKS.values(), ids=MASKS)
def test_a_mask_that_does_otherwise_is_seen(level: str, twist: Any) -> None:
    wrong = staticmethod(twist(RFC6455WebSocket._apply_mask))
    with mock.patch.object(RFC6455WebSocket, "_apply_mask", wrong):
        with pytest.raises(Mismatch, match="_apply_mask"):
            selftest()


def test_another_validator_is_seen() -> None:
    theirs = pytest.importorskip("wsaccel.utf8validator")

    class Lenient(theirs.Utf8Validator):  # type: ignore[misc,name-defined]
        def validate(self, ba: bytes) -> Any:
            return (True, True, len(ba), len(ba))

    with mock.patch.object(module, "utf8validator", theirs):
        with speedups.installed("eventlet", strict=True):
            lenient = SimpleNamespace(Utf8Validator=Lenient)
            with mock.patch.object(module, "utf8validator", lenient):
                with pytest.raises(Mismatch, match="validate"):
                    selftest()


@pytest.mark.parametrize(
    "twist",
    [bytearray, lambda frame: frame[:-1], lambda frame: bytes([frame[0] ^ 0x80]) + frame[1:]],
)
def test_a_message_that_is_packed_otherwise_is_seen(frames: None, twist: Any) -> None:
    genuine = RFC6455WebSocket._pack_message
    wrong = mock.Mock(side_effect=lambda *given, **named: twist(genuine(*given, **named)))

    def pack(self: Any, *given: Any, **named: Any) -> Any:
        return wrong(self, *given, **named)

    with mock.patch.object(RFC6455WebSocket, "_pack_message", pack):
        with pytest.raises(Mismatch, match="_pack_message"):
            selftest()


def test_a_method_that_is_not_ours_is_seen(frames: None) -> None:
    originals = speedups.registry.library("eventlet").originals
    original = originals["eventlet.websocket:RFC6455WebSocket._pack_message"]
    with mock.patch.object(RFC6455WebSocket, "_pack_message", original):
        with pytest.raises(Mismatch, match="is not ours"):
            selftest()


def test_a_message_that_does_not_come_through_is_seen(level: str) -> None:
    with mock.patch.object(RFC6455WebSocket, "wait", lambda self: "other"):
        with pytest.raises(Mismatch, match="did not come through"):
            selftest()


def test_a_socket_gives_what_it_has() -> None:
    sock = Socket(b"some bytes")
    sock.most = 4
    assert [sock.recv(3), sock.recv(100), sock.recv(100), sock.recv(1)] == [
        b"som",
        b"e by",
        b"tes",
        b"",
    ]


def test_workloads_run(level: str) -> None:
    works = eventlet_selftest.workloads()
    results = {(work.name, work.size): work.run() for work in works}
    assert results["server receives text", 125] == "a" * 125
    assert results["server receives binary", 65536] == b"a" * 65536
