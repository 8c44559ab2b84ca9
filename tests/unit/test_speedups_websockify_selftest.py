"""The self-test of websockify finds what is wrong with a replacement."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockify")

from websockify.websocket import WebSocket

from wsfast import speedups
from wsfast.speedups import registry
from wsfast.speedups import websockify_selftest as module
from wsfast.speedups.selftest import Mismatch
from wsfast.speedups.websockify_selftest import WEBSOCKET, selftest


@pytest.fixture(scope="module")
def originals() -> Iterator[dict[str, Any]]:
    """The speedups are in; what the library has itself is handed to the test."""
    with speedups.installed("websockify", level="frames", strict=True):
        yield registry.library("websockify").originals


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_found(originals: dict[str, Any], seed: int) -> None:
    selftest(originals, "frames", Random(seed))


def find_it(originals: dict[str, Any], name: str, spoiled: Any) -> None:
    spoiled.__wsfast__ = True
    with mock.patch.object(WebSocket, name, spoiled):
        with pytest.raises(Mismatch):
            for seed in range(60):
                selftest(originals, "frames", Random(seed))


def changed(frame: Any, **fields: Any) -> Any:
    return None if frame is None else {**frame, **fields}


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("_unmask", bytearray),
        ("_unmask", lambda data: data[:-1]),
        ("_decode_hybi", lambda frame: changed(frame, fin=1)),
        ("_decode_hybi", lambda frame: changed(frame, length=0)),
        ("_decode_hybi", lambda frame: frame and dict(reversed(frame.items()))),
        ("_recv_frames", lambda received: not received),
    ],
)
def test_results_that_differ(originals: dict[str, Any], name: str, spoil: Any) -> None:
    ours = vars(WebSocket)[name]
    find_it(originals, name, lambda *given: spoil(ours(*given)))


def test_state_that_differs(originals: dict[str, Any]) -> None:
    ours = vars(WebSocket)["_recv_frames"]

    def spoiled(self: Any) -> Any:
        try:
            return ours(self)
        finally:
            self._recv_buffer = bytes(self._recv_buffer) + b""
            self._recv_queue = self._recv_queue[:1]

    find_it(originals, "_recv_frames", spoiled)


@pytest.mark.parametrize("name", ["_unmask", "_decode_hybi", "_recv_frames"])
def test_a_replacement_that_nobody_reaches(originals: dict[str, Any], name: str) -> None:
    with mock.patch.object(WebSocket, name, originals[WEBSOCKET + name]):
        with pytest.raises(Mismatch, match=f"{name} does not reach wsfast"):
            selftest(originals, "frames", Random(1))


def test_it_is_short(originals: dict[str, Any]) -> None:
    with mock.patch.object(module, "outcome", side_effect=module.outcome) as spy:
        selftest(originals, "frames", Random(4))
    assert 0 < spy.call_count < 500
