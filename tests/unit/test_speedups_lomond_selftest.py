"""lomond's self-test: quiet when all is well, loud when one replacement does otherwise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("lomond")

from lomond import frame as frames_module
from lomond import frame_parser, message
from lomond import mask as masking
from lomond.frame import Frame
from lomond.frame_parser import FrameParser
from lomond.parser import Parser

from wsfast import speedups
from wsfast.speedups import lomond_selftest
from wsfast.speedups.selftest import Mismatch


@pytest.fixture(params=["kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with speedups.installed("lomond", level=request.param, strict=True):
        yield request.param


@pytest.fixture
def frames() -> Iterator[None]:
    with speedups.installed("lomond", strict=True):
        yield


def selftest(seeds: range = range(40)) -> None:
    for seed in seeds:
        speedups.registry.library("lomond").selftest(Random(seed))


def test_agrees_and_says_nothing(level: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "lomond"):
        selftest()
    assert not [each for each in caplog.records if each.name == "lomond"]
    assert not logging.getLogger("lomond").filters


@pytest.mark.parametrize("module", [masking, frames_module])
def test_a_mask_that_does_otherwise_is_seen(level: str, module: Any) -> None:
    with mock.patch.object(module, "mask_payload", lambda masking_key, data: None):
        with pytest.raises(Mismatch, match="mask_payload"):
            selftest()


@pytest.mark.parametrize("module", [frame_parser, message])
def test_another_validator_is_seen(level: str, module: Any) -> None:
    class Lenient(module.Utf8Validator):  # type: ignore[misc,name-defined]
        def validate(self, ba: bytes) -> Any:
            return (True, True, len(ba), len(ba))

    with mock.patch.object(module, "Utf8Validator", Lenient):
        with pytest.raises(Mismatch, match="validate"):
            selftest()


def test_a_frame_that_is_built_otherwise_is_seen(frames: None) -> None:
    genuine = Frame.build

    def build(cls: Any, *given: Any, **named: Any) -> Any:
        return bytearray(genuine(*given, **named))

    with mock.patch.object(Frame, "build", classmethod(build)):
        with pytest.raises(Mismatch, match="build"):
            selftest()


def test_a_payload_that_stays_as_it_was_is_seen(frames: None) -> None:
    genuine = Frame.build

    def build(cls: Any, opcode: Any, payload: Any = b"", *given: Any, **named: Any) -> Any:
        payload = bytearray(payload) if type(payload) is bytearray else payload
        return genuine(opcode, payload, *given, **named)

    with mock.patch.object(Frame, "build", classmethod(build)):
        with pytest.raises(Mismatch, match="build"):
            selftest()


def test_masking_keys_that_repeat_are_seen(frames: None) -> None:
    genuine = Frame.build

    def build(cls: Any, opcode: Any, payload: Any = b"", **named: Any) -> Any:
        return genuine(opcode, payload, **{"masking_key": b"four", **named})

    with mock.patch.object(Frame, "build", classmethod(build)):
        with pytest.raises(Mismatch, match="masking keys"):
            selftest()


@pytest.mark.parametrize(
    ("name", "value"), [("payload", b"other"), ("rsv1", 1), ("fin", True), ("mask", True)]
)
def test_frames_that_are_parsed_otherwise_are_seen(frames: None, name: str, value: Any) -> None:
    genuine = Parser.feed

    def feed(self: Any, data: Any) -> Iterator[Any]:
        for frame in genuine(self, data):
            if isinstance(frame, Frame):
                setattr(frame, name, value)
            yield frame

    with mock.patch.object(Parser, "feed", feed):
        with pytest.raises(Mismatch):
            selftest()


def test_a_parser_that_is_not_ours_is_seen(frames: None) -> None:
    originals = speedups.registry.library("lomond").originals
    with mock.patch.object(
        FrameParser, "parse", originals["lomond.frame_parser:FrameParser.parse"]
    ):
        with pytest.raises(Mismatch, match="does not run ours"):
            selftest()


def test_workloads_run(level: str) -> None:
    works = lomond_selftest.workloads()
    results = {(work.name, work.size): work.run() for work in works}
    (text,) = results["receive text", 125]  # type: ignore[misc]
    assert text.text == "a" * 125
    assert len(results["send text", 65536]) == 65536 + 14  # type: ignore[arg-type]
