"""ws4py with the speedups in: what is replaced, when, how deep, and between two WebSockets."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("ws4py")

from ws4py import streaming
from ws4py.framing import Frame
from ws4py.messaging import Message
from ws4py.streaming import Stream
from ws4py.websocket import WebSocket

from reference import mask
from wsfast import speedups
from wsfast.speedups.guard import find, fingerprint
from wsfast.speedups.validator import Utf8Validator
from wsfast.speedups.ws4py import STOOD_FOR, TARGET

KERNELS: list[tuple[Any, str]] = [
    (Frame, "mask"),
    (Frame, "unmask"),
    (streaming, "Utf8Validator"),
]
FRAMES: list[tuple[Any, str]] = [
    (Frame, "build"),
    (Message, "single"),
    (Message, "fragment"),
    (Stream, "receiver"),
]


def held(places: list[tuple[Any, str]]) -> list[Any]:
    return [vars(owner)[name] for owner, name in places]


@pytest.fixture(params=["", "kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    if not request.param:
        yield ""
        return
    with speedups.installed("ws4py", level=request.param, strict=True):
        yield request.param


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    kernels, frames = held(KERNELS), held(FRAMES)
    with speedups.installed("ws4py", level=level, strict=True):
        (report,) = speedups.status("ws4py")
        assert (report.state, report.level) == ("active", level)
        assert all(a is not b for a, b in zip(kernels, held(KERNELS), strict=True))
        replaced = [a is not b for a, b in zip(frames, held(FRAMES), strict=True)]
        assert replaced == [level == "frames"] * 4
    assert held(KERNELS) == kernels and held(FRAMES) == frames


@pytest.mark.parametrize("key", [b"1234", b"longer than four", bytearray(b"1234")])
def test_masks(level: str, key: Any) -> None:
    frame = Frame(masking_key=key)
    for masked in (frame.mask(b"bytes"), frame.unmask(bytearray(b"bytes"))):
        assert type(masked) is bytearray and masked == mask(b"bytes", bytes(key))


def test_only_streams_validate_with_ours(level: str) -> None:
    from ws4py import utf8validator

    assert (streaming.Utf8Validator is Utf8Validator) == bool(level)
    assert utf8validator.Utf8Validator is not Utf8Validator


@pytest.mark.parametrize("first", ["speedups.install()", "import ws4py.websocket"])
def test_before_and_after_the_import(first: str) -> None:
    code = f"from wsfast import speedups\n{first}\nimport ws4py.websocket\n"
    code += "speedups.install('ws4py', strict=True)\nfrom ws4py import streaming\n"
    code += "print(speedups.status('ws4py')[0].state, streaming.Utf8Validator.__module__)\n"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["active", "wsfast.speedups.validator"], done.stderr


def test_the_sources_that_the_receiver_stands_for_are_known() -> None:
    for where, known in STOOD_FOR.items():
        assert fingerprint(find(where)[2]) == known


@pytest.mark.parametrize("name", ["_parsing", "__init__"])
def test_another_source_steps_back_to_kernels(name: str) -> None:
    genuine = vars(Frame)[name]

    def changed(self: Any, *given: Any, **named: Any) -> Any:
        return genuine(self, *given, **named)

    with mock.patch.object(Frame, name, changed):
        with speedups.installed("ws4py"):
            (report,) = speedups.status("ws4py")
            assert (report.state, report.level) == ("active", "kernels")
            assert name in report.note


def test_a_replaced_source_of_keys_steps_back_to_kernels() -> None:
    with mock.patch("os.urandom", lambda size: bytes(size)):
        with speedups.installed("ws4py"):
            (report,) = speedups.status("ws4py")
            assert (report.state, report.level) == ("active", "kernels")


def test_versions() -> None:
    assert TARGET.tested == ("0.4.2", "0.7")


# --- between two WebSockets --------------------------------------------------------------------


class Echo(WebSocket):  # type: ignore[misc]
    def received_message(self, message: Any) -> None:
        self.send(message.data, message.is_binary)


class Asking(WebSocket):  # type: ignore[misc]
    heard: list[Any]

    def received_message(self, message: Any) -> None:
        self.heard.append((type(message).__name__, message.data))

    def ponged(self, pong: Any) -> None:
        self.heard.append(("pong", pong.data))


def parts() -> Iterator[str]:
    yield from ("in ", "three ", "parts ž")


def test_two_websockets_talk(level: str) -> None:
    left, right = socket.socketpair()
    asking, echo = Asking(left), Echo(right)
    asking.heard = []
    asking.stream.always_mask, asking.stream.expect_masking = True, False
    questions: list[Any] = ["žluť 漢字", "", parts(), b"a" * 2000]
    for question in questions:
        asking.send(question, binary=isinstance(question, bytes))
        turn(echo, asking)
    asking.ping("?")
    turn(echo, asking)
    assert asking.heard == [
        ("TextMessage", "žluť 漢字".encode()),
        ("TextMessage", b""),
        ("TextMessage", "in three parts ž".encode()),
        ("BinaryMessage", b"a" * 2000),
        ("pong", b"?"),
    ]
    asking.close(1000, "thanks")
    turn(echo, asking)
    assert echo.stream.closing.code == 1000 and asking.stream.closing is not None
    for each in (asking, echo):
        each.terminate()


def turn(*websockets: Any) -> None:
    """Let each take what is there for it."""
    for each in websockets:
        while select.select([each.sock], [], [], 0)[0] and each.once():
            pass
