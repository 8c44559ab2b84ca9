"""lomond with the speedups in: what is replaced, when, how deep, and against a server."""

from __future__ import annotations

import base64
import hashlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("lomond")

import lomond
from lomond import frame, frame_parser, message, parser, utf8validator
from lomond import mask as masking
from lomond.frame import Frame
from lomond.frame_parser import ClientFrameParser, FrameParser
from lomond.parser import Parser

from reference import mask
from wsfast import speedups
from wsfast.speedups.guard import find, fingerprint
from wsfast.speedups.lomond import STOOD_FOR, TARGET
from wsfast.speedups.selftest import frame_bytes
from wsfast.speedups.validator import Utf8Validator

KERNELS: list[tuple[Any, str]] = [
    (masking, "mask_payload"),
    (frame, "mask_payload"),
    (frame_parser, "Utf8Validator"),
    (message, "Utf8Validator"),
    (utf8validator, "Utf8Validator"),
]
FRAMES: list[tuple[Any, str]] = [(Frame, "build"), (FrameParser, "parse"), (Parser, "feed")]


def held(places: list[tuple[Any, str]]) -> list[Any]:
    return [vars(owner)[name] for owner, name in places]


@pytest.fixture(params=["", "kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    if not request.param:
        yield ""
        return
    with speedups.installed("lomond", level=request.param, strict=True):
        yield request.param


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    kernels, frames = held(KERNELS), held(FRAMES)
    with speedups.installed("lomond", level=level, strict=True):
        (report,) = speedups.status("lomond")
        assert (report.state, report.level) == ("active", level)
        assert all(a is not b for a, b in zip(kernels, held(KERNELS), strict=True))
        replaced = [a is not b for a, b in zip(frames, held(FRAMES), strict=True)]
        assert replaced == [level == "frames"] * 3
    assert held(KERNELS) == kernels and held(FRAMES) == frames


def test_masks_change_what_they_get(level: str) -> None:
    data = bytearray(b"some bytes")
    assert frame.mask_payload(b"1234", data) is None
    assert data == mask(b"some bytes", b"1234")


def test_validators_are_ours() -> None:
    with speedups.installed("lomond", level="kernels", strict=True):
        for module in (frame_parser, message, utf8validator):
            assert module.Utf8Validator is Utf8Validator
        assert type(ClientFrameParser()._utf8_validator) is Utf8Validator


def test_a_class_method_stays_one() -> None:
    with speedups.installed("lomond", strict=True):
        assert type(vars(Frame)["build"]) is classmethod
        assert Frame.build.__doc__ == Frame.build.__wrapped__.__doc__


@pytest.mark.parametrize("first", ["speedups.install()", "import lomond"])
def test_before_and_after_the_import(first: str) -> None:
    code = f"from wsfast import speedups\n{first}\nimport lomond.websocket\n"
    code += "speedups.install('lomond', strict=True)\nfrom lomond import message\n"
    code += "print(speedups.status('lomond')[0].state, message.Utf8Validator.__module__)\n"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["active", "wsfast.speedups.validator"], done.stderr


def test_the_sources_that_the_parser_stands_for_are_known() -> None:
    for where, known in STOOD_FOR.items():
        assert fingerprint(find(where)[2]) == known


@pytest.mark.parametrize("where", STOOD_FOR)
def test_another_source_steps_back_to_kernels(where: str) -> None:
    owner, name, genuine = find(where)

    def changed(self: Any, *given: Any, **named: Any) -> Any:
        return genuine(self, *given, **named)

    with mock.patch.object(owner, name, changed):
        with speedups.installed("lomond"):
            (report,) = speedups.status("lomond")
            assert (report.state, report.level) == ("active", "kernels")
            assert name in report.note


def test_a_replaced_source_of_keys_steps_back_to_kernels() -> None:
    with mock.patch.object(frame, "make_masking_key", mock.Mock(func=None, args=())):
        with speedups.installed("lomond"):
            assert speedups.status("lomond")[0].level == "kernels"


def test_other_parsers_are_left_alone() -> None:
    """lomond parses the head of a proxy with the same base class."""

    class Words(Parser):  # type: ignore[misc]
        def parse(self) -> Iterator[Any]:
            while True:
                yield (yield self.read_until(b" "))

    with speedups.installed("lomond", strict=True):
        assert list(Words().feed(b"some words ")) == [b"some ", b"words "]
        with pytest.raises(parser.ParseEOF):
            list(Words().feed(b""))


def test_versions() -> None:
    assert TARGET.tested == ("0.3.3", "0.4")


# --- against a server --------------------------------------------------------------------------

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def serve(listener: socket.socket, heard: list[bytes], answers: bytes) -> None:
    """Take one client, answer with what is given and keep what it says."""
    connection, _ = listener.accept()
    connection.settimeout(30)
    with connection, connection.makefile("rb") as stream:
        key = b""
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            key = value.strip() if name.lower() == b"sec-websocket-key" else key
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        head += b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        connection.sendall(head + answers)
        connection.shutdown(socket.SHUT_WR)
        while data := stream.read(1):
            heard.append(data)


def test_a_session(level: str) -> None:
    heard: list[bytes] = []
    answers = frame_bytes(1, "žluť 漢字".encode())
    answers += (
        frame_bytes(2, bytes(70_000), fin=False) + frame_bytes(9, b"?") + frame_bytes(0, b"!")
    )
    answers += frame_bytes(8, b"\x03\xe8bye")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener, heard, answers))
        server.start()
        told = list(converse(listener.getsockname()[1]))
        server.join(30)
    assert told == ["žluť 漢字", b"?", bytes(70_000) + b"!", (1000, "bye")]
    assert frames_of(b"".join(heard)) == [(0x81, "ž".encode()), (0x8A, b"?"), (0x88, b"\x03\xe8")]


def converse(port: int) -> Iterator[Any]:
    websocket = lomond.WebSocket(f"ws://127.0.0.1:{port}/", proxies={})
    for event in websocket.connect(ping_rate=0):
        if event.name == "ready":
            websocket.send_text("ž")
        elif event.name in ("text", "binary", "ping"):
            yield event.text if event.name == "text" else event.data
        elif event.name in ("closed", "closing"):
            yield (event.code, event.reason)
        assert event.name not in ("connect_fail", "protocol_error", "rejected")


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        size, key = data[1] & 0x7F, data[2:6]
        found.append((data[0], mask(data[6 : 6 + size], key)))
        data = data[6 + size :]
    return [(first, payload[:2] if first == 0x88 else payload) for first, payload in found]
