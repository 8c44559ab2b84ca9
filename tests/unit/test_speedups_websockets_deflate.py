"""permessage-deflate of websockets, without the frames around it: its state, and its limits."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from wsfast import speedups
from wsfast.speedups import websockets_deflate
from wsfast.speedups.websockets_selftest import called_by, fields

TEXT = b"a text that is worth it: " * 4


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


def pair(remote: bool = False, local: bool = False, **options: Any) -> tuple[Any, Any]:
    """A client and a server that have negotiated it."""
    client, server = Protocol(CLIENT), Protocol(SERVER, **options)
    client.extensions = [PerMessageDeflate(remote, local, 15, 15)]
    server.extensions = [PerMessageDeflate(local, remote, 15, 15)]
    return client, server


def passed_on(sender: Any, receiver: Any) -> list[Any]:
    for data in sender.data_to_send():
        receiver.receive_data(data)
    return [fields(each) for each in receiver.events_received()]


def test_it_has_nothing_for_python() -> None:
    assert websockets_deflate.__all__ == []


def test_neither_encode_nor_decode_is_called_for_a_message(fast: None) -> None:
    client, server = pair()
    found = called_by(client.send_text, TEXT)
    data = b"".join(client.data_to_send())
    found |= called_by(server.receive_data, data)
    assert not found & {"encode", "decode"}
    assert len(data) < len(TEXT)
    assert server.events_received() == [Frame(Opcode.TEXT, TEXT)]


def test_the_context_is_taken_over(fast: None) -> None:
    client, server = pair()
    sizes = []
    for _ in range(3):
        client.send_text(TEXT)
        sizes.append(len(client.writes[0]))
        assert passed_on(client, server) == [fields(Frame(Opcode.TEXT, TEXT))]
    assert sizes[0] > sizes[1] >= sizes[2]


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("local", [True, False])
def test_every_way_to_negotiate_it(remote: bool, local: bool, fast: None) -> None:
    client, server = pair(remote, local)
    for sender, receiver in ((client, server), (server, client)) * 2:
        sender.send_text(TEXT, False)
        sender.send_continuation(b"", False)
        sender.send_ping(b"between")
        sender.send_continuation(TEXT, True)
        sender.send_binary(TEXT * 300)
        events = passed_on(sender, receiver)
        assert events[0] == fields(Frame(Opcode.TEXT, TEXT, False))
        assert events[2][1][1] == (bytes if receiver is server else bytearray)(b"between")
        assert events[-1] == fields(Frame(Opcode.BINARY, TEXT * 300))
        assert receiver.extensions[0].decode_cont_data is False
        receiver.data_to_send()


@pytest.mark.parametrize("limit", [len(TEXT) - 1, 10, 1])
def test_what_would_be_too_long_is_not_inflated(limit: int, fast: None) -> None:
    client, server = pair(max_size=limit)
    client.send_text(TEXT)
    frame = client.data_to_send()[0]
    server.receive_data(frame)
    assert isinstance(server.parser_exc, PayloadTooBig)
    assert server.close_sent is not None and server.close_sent.code == 1009
    assert server.events_received() == []


def test_the_cause_of_a_failure_is_told(fast: None) -> None:
    client, server = pair()
    client.send_text(TEXT)
    frame = bytearray(client.data_to_send()[0])
    key = frame[2:6]
    frame[6:10] = bytes(a ^ b for a, b in zip(b"\xff" * 4, key, strict=True))
    server.receive_data(bytes(frame))
    assert isinstance(server.parser_exc, ProtocolError)
    assert isinstance(server.parser_exc.__cause__, zlib.error)
    assert str(server.parser_exc) == "decompression failed"


def test_patched_methods_are_called(fast: None) -> None:
    client, server = pair()
    with mock.patch.object(PerMessageDeflate, "encode", lambda self, frame: frame):
        client.send_text(b"plain")
    assert passed_on(client, server) == [fields(Frame(Opcode.TEXT, b"plain"))]
    marked = Frame(Opcode.TEXT, b"marked")
    with mock.patch.object(server.extensions[0], "decode", return_value=marked):
        client.send_text(b"anything")
        assert passed_on(client, server) == [fields(marked)]
