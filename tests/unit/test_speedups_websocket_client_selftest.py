"""The self-test of websocket-client finds what is wrong with a replacement."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websocket")

from websocket import ABNF, WebSocket, _abnf, _utils

from wsfast import speedups
from wsfast.speedups import registry
from wsfast.speedups import websocket_client_selftest as module
from wsfast.speedups.selftest import Mismatch
from wsfast.speedups.websocket_client_selftest import selftest


@pytest.fixture(scope="module")
def originals() -> Iterator[dict[str, Any]]:
    """The speedups are in; what the library has itself is handed to the test."""
    with speedups.installed("websocket-client", level="frames", strict=True):
        yield registry.library("websocket-client").originals


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_nothing_is_found(originals: dict[str, Any], level: Any, seed: int) -> None:
    selftest(originals, level, Random(seed))


def find_it(originals: dict[str, Any], runs: int = 60) -> None:
    with pytest.raises(Mismatch):
        for seed in range(runs):
            selftest(originals, "frames", Random(seed))


def spoiled(owner: Any, name: str, spoil: Callable[..., Any]) -> Any:
    """Patch what is installed: its results go through `spoil`."""
    ours = vars(owner)[name]
    function = getattr(ours, "__func__", ours)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        return spoil(function(*arguments, **options))

    wrapped.serves = getattr(function, "serves", None)  # type: ignore[attr-defined]
    kind = staticmethod if isinstance(ours, staticmethod) else lambda each: each
    return mock.patch.object(owner, name, kind(wrapped))


@pytest.mark.parametrize(
    ("owner", "name", "spoil"),
    [
        (ABNF, "mask", bytearray),
        (ABNF, "mask", lambda data: data[:-1] + b"x" if len(data) == 125 else data),
        (_utils, "_validate_utf8", int),
        (_utils, "_validate_utf8", lambda valid: not valid),
        (ABNF, "format", bytearray),
        (ABNF, "format", lambda data: data[:1] + data),
        (WebSocket, "recv", lambda data: data.encode() if isinstance(data, str) else data),
        (WebSocket, "recv", lambda data: data or None),
        (WebSocket, "recv_data", list),
        (WebSocket, "recv_data_frame", lambda pair: (pair[0], pair[1].data)),
        (WebSocket, "send", lambda size: size + 1),
    ],
)
def test_results_that_differ(originals: dict[str, Any], owner: Any, name: str, spoil: Any) -> None:
    with spoiled(owner, name, spoil):
        find_it(originals)


def test_frames_that_differ(originals: dict[str, Any]) -> None:
    def spoil(frame: Any) -> Any:
        frame.fin = bool(frame.fin)
        return frame

    with spoiled(_abnf.frame_buffer, "recv_frame", spoil):
        find_it(originals)


def test_errors_that_differ(originals: dict[str, Any]) -> None:
    ours = _abnf.frame_buffer.recv_frame

    def recv_frame(self: Any) -> Any:
        try:
            return ours(self)
        except TimeoutError as error:
            raise TimeoutError("another text") from error

    with mock.patch.object(_abnf.frame_buffer, "recv_frame", recv_frame):
        find_it(originals)


def test_state_that_differs(originals: dict[str, Any]) -> None:
    ours = _abnf.frame_buffer.recv_frame

    def recv_frame(self: Any) -> Any:
        try:
            return ours(self)
        finally:
            self.header = None

    with mock.patch.object(_abnf.frame_buffer, "recv_frame", recv_frame):
        find_it(originals)


def test_a_replacement_that_nobody_reaches(originals: dict[str, Any]) -> None:
    theirs = originals["websocket._core:WebSocket.recv"]
    with mock.patch.object(WebSocket, "recv", theirs):
        with pytest.raises(Mismatch, match="does not reach wsfast"):
            selftest(originals, "frames", Random(1))


def test_it_leaves_no_socket_open(originals: dict[str, Any]) -> None:
    made = []
    pair = socket.socketpair
    with mock.patch("socket.socketpair", lambda: made.append(pair()) or made[-1]):
        selftest(originals, "frames", Random(3))
    assert made
    assert all(end.fileno() == -1 for ends in made for end in ends)


def test_it_is_short(originals: dict[str, Any]) -> None:
    """So short that `install` may run it: a few hundred calls of the library."""
    with mock.patch.object(module, "outcome", side_effect=module.outcome) as spy:
        selftest(originals, "frames", Random(4))
    assert 0 < spy.call_count < 500
