"""The self-test of the wsproto speedups: quiet about what is right, loud about what is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("wsproto")

from wsproto.connection import Connection
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import (
    Frame,
    FrameDecoder,
    FrameProtocol,
    MessageDecoder,
    XorMaskerSimple,
)

from growth import quickest
from wsfast import speedups
from wsfast.speedups.selftest import Mismatch

ROUNDS = 60


@pytest.fixture(params=["kernels", "frames"])
def library(request: pytest.FixtureRequest) -> Iterator[Any]:
    with speedups.installed("wsproto", level=request.param, strict=True):
        yield speedups.registry.library("wsproto")


@pytest.fixture
def frames() -> Iterator[Any]:
    with speedups.installed("wsproto", level="frames", strict=True):
        yield speedups.registry.library("wsproto")


def rounds(library: Any, count: int = ROUNDS) -> None:
    for number in range(count):
        library.selftest(random.Random(number))


def test_the_replacements_pass(library: Any) -> None:
    rounds(library)


def test_one_round_is_short(frames: Any) -> None:
    rounds(frames, 3)
    assert quickest(lambda: rounds(frames, 5)) < 5 * 0.05


def broken(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Makes a method whose result is changed."""

    def around(real: Any) -> Any:
        def method(self: Any, *arguments: Any) -> Any:
            return change(real(self, *arguments))

        return method

    return around


def forgetful(real: Any) -> Any:
    """A masker that starts over with every chunk."""

    def process(self: Any, data: Any) -> Any:
        key = self._masking_key
        try:
            return real(self, data)
        finally:
            self._masking_key = key

    return process


def of_payload(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def changed(frame: Any) -> Any:
        return frame and Frame(frame[0], change(frame[1]), *frame[2:])

    return broken(changed)


MISTAKES: dict[str, tuple[Any, str, Any]] = {
    "a masker of the wrong type": (XorMaskerSimple, "process", broken(memoryview)),
    "a masker that starts over": (XorMaskerSimple, "process", forgetful),
    "payloads of the wrong type": (FrameDecoder, "process_buffer", of_payload(bytearray)),
    "payloads cut short": (FrameDecoder, "process_buffer", of_payload(lambda data: data[:50])),
    "no int for bool": (
        FrameDecoder,
        "process_buffer",
        broken(lambda frame: frame and frame._replace(frame_finished=int(frame[2]))),
    ),
    "messages that never end": (
        MessageDecoder,
        "process_frame",
        broken(lambda frame: frame._replace(message_finished=False)),
    ),
    "frames all at once": (
        FrameProtocol,
        "received_frames",
        broken(lambda each: iter(list(each))),
    ),
    "frames of bytes": (FrameProtocol, "send_data", broken(bytes)),
    "frames with RSV": (
        FrameProtocol,
        "_serialize_frame",
        broken(lambda data: bytearray([data[0] | 64]) + data[1:]),
    ),
    "sending bytearrays": (Connection, "send", broken(bytearray)),
    "events of another object": (Connection, "events", broken(lambda each: iter([*each][:1]))),
    "deflate that keeps its tail": (
        PerMessageDeflate,
        "frame_outbound",
        broken(lambda said: (said[0], said[1] + b"\0\0\xff\xff")),
    ),
    "deflate that claims nothing": (
        PerMessageDeflate,
        "frame_inbound_header",
        broken(lambda said: (False, False, False)),
    ),
    "deflate that adds something": (
        PerMessageDeflate,
        "frame_inbound_complete",
        broken(lambda said: said if said is None else said + b"!"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(frames: Any, mistake: str) -> None:
    owner, name, make = MISTAKES[mistake]
    with mock.patch.object(owner, name, make(vars(owner)[name])):
        with pytest.raises(Mismatch):
            rounds(frames)
    rounds(frames, 2)


def test_a_replacement_that_is_not_reached_is_found(frames: Any) -> None:
    original = Connection.events.__wrapped__
    with mock.patch.object(Connection, "events", original):
        with pytest.raises(Mismatch, match="is not reached"):
            rounds(frames, 1)


def test_a_mismatch_at_install_puts_everything_back() -> None:
    before = dict(vars(FrameProtocol))
    with mock.patch("wsfast.speedups.wsproto_selftest._check_reached", side_effect=Mismatch("no")):
        with speedups.installed("wsproto"):
            (report,) = speedups.status("wsproto")
            assert report.level == "kernels" and "Mismatch: no" in report.note
            assert dict(vars(FrameProtocol)) == before
