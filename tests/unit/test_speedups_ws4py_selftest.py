"""ws4py's self-test: quiet when all is well, loud when one replacement does otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("ws4py")

from ws4py import streaming
from ws4py.framing import Frame
from ws4py.messaging import Message
from ws4py.streaming import Stream

from wsfast import speedups
from wsfast.speedups import ws4py_selftest
from wsfast.speedups.selftest import Mismatch, frame_bytes


@pytest.fixture(params=["kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with speedups.installed("ws4py", level=request.param, strict=True):
        yield request.param


@pytest.fixture
def frames() -> Iterator[None]:
    with speedups.installed("ws4py", strict=True):
        yield


def selftest(seeds: range = range(40)) -> None:
    for seed in seeds:
        speedups.registry.library("ws4py").selftest(Random(seed))


def test_agrees(level: str) -> None:
    selftest()


@pytest.mark.parametrize("name", ["mask", "unmask"])
def test_a_mask_that_does_otherwise_is_seen(level: str, name: str) -> None:
    genuine = vars(Frame)[name]
    with mock.patch.object(Frame, name, lambda self, data: bytes(genuine(self, data))):
        with pytest.raises(Mismatch):
            selftest()


def test_another_validator_is_seen(level: str) -> None:
    class Lenient(streaming.Utf8Validator):  # type: ignore[misc]
        def validate(self, ba: bytes) -> Any:
            return (True, True, len(ba), len(ba))

    with mock.patch.object(streaming, "Utf8Validator", Lenient):
        with pytest.raises(Mismatch):
            selftest()


def twisted(owner: type, name: str, twist: Any) -> Any:
    genuine = vars(owner)[name]
    return mock.patch.object(
        owner, name, lambda self, *given, **named: twist(genuine(self, *given, **named))
    )


@pytest.mark.parametrize(
    ("owner", "name", "twist"),
    [
        (Frame, "build", bytearray),
        (Frame, "build", lambda frame: frame[:-1]),
        (Message, "single", bytearray),
        (Message, "single", lambda frame: frame + b"x"),
        (Message, "fragment", lambda frame: bytes([frame[0] | 0x80]) + frame[1:]),
    ],
)
def test_a_frame_that_is_built_otherwise_is_seen(
    frames: None, owner: type, name: str, twist: Any
) -> None:
    with twisted(owner, name, twist):
        with pytest.raises(Mismatch):
            selftest()


def lazy(self: Any) -> Iterator[int]:
    """A receiver that asks for other numbers of bytes."""
    while True:
        yield 2


def test_another_receiver_is_seen(frames: None) -> None:
    with mock.patch.object(Stream, "receiver", lazy):
        with pytest.raises(Mismatch, match="receiver"):
            selftest()


def test_a_receiver_that_is_not_ours_is_seen(frames: None) -> None:
    originals = speedups.registry.library("ws4py").originals
    with mock.patch.object(Stream, "receiver", originals["ws4py.streaming:Stream.receiver"]):
        with pytest.raises(Mismatch, match="does not receive with ours"):
            selftest()


def test_a_message_that_is_not_ours_is_seen(frames: None) -> None:
    originals = speedups.registry.library("ws4py").originals
    with mock.patch.object(Message, "fragment", originals["ws4py.messaging:Message.fragment"]):
        with pytest.raises(Mismatch, match="fragment is not ours"):
            selftest()


@pytest.mark.parametrize("size", [0, 5, 126, 70_000])
def test_frames_are_told_apart_without_their_keys(size: int) -> None:
    one, other = (frame_bytes(2, bytes(size), masking_key=key) for key in (b"1234", b"5678"))
    assert ws4py_selftest.unmasked(one) == ws4py_selftest.unmasked(other)
    assert ws4py_selftest.unmasked(frame_bytes(2, bytes(size)))[1] == bytes(size)


def test_workloads_run(level: str) -> None:
    works = ws4py_selftest.workloads()
    assert {work.size for work in works} == {125, 65536}
    for work in works:
        work.run()
