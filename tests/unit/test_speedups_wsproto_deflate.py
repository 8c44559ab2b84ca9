"""PerMessageDeflate of wsproto, its hooks replaced: what they return, hold, and leave alone."""

from __future__ import annotations

import itertools
import types
import zlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("wsproto")

from wsproto import extensions
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Opcode, RsvBits

from wsfast import speedups
from wsfast.speedups.selftest import outcome, typed

SET, CLEAR = RsvBits(True, False, False), RsvBits(False, False, False)
CLIENT, SERVER = types.SimpleNamespace(client=True), types.SimpleNamespace(client=False)


def deflate(**options: Any) -> Any:
    made: Any = PerMessageDeflate(**options)
    made.finalize("permessage-deflate")
    return made


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def held(extension: Any) -> Any:
    return typed(
        {
            name: type(value) if name.endswith("pressor") else value
            for name, value in vars(extension).items()
        }
    )


def said(script: list[Any], **options: Any) -> list[Any]:
    """What hooks answer, and what the extension holds after each."""
    extension = deflate(**options)
    return [
        (outcome(getattr(extension, name), *arguments), held(extension))
        for name, *arguments in script
    ]


def check(*scripts: list[Any], **options: Any) -> None:
    plain = [said(script, **options) for script in scripts]
    with speedups.installed("wsproto", strict=True):
        assert [said(script, **options) for script in scripts] == plain


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("wsproto", strict=True):
        yield


def inbound(proto: Any, opcode: Any, rsv: Any, data: Any, fin: Any = True) -> list[Any]:
    return [
        ("frame_inbound_header", proto, opcode, rsv, len(data)),
        ("frame_inbound_payload_data", proto, data),
        ("frame_inbound_complete", proto, fin),
    ]


HELLO = packed(b"hello")


@pytest.mark.parametrize("proto", [CLIENT, SERVER])
@pytest.mark.parametrize("options", [{}, {"client_no_context_takeover": True}], ids=str)
def test_every_pair_of_frames(proto: Any, options: Any) -> None:
    frames = [
        inbound(proto, opcode, rsv, HELLO, fin)
        for opcode, rsv, fin in itertools.product(Opcode, (SET, CLEAR), (True, False))
    ]
    check(*(one + other for one, other in itertools.product(frames, repeat=2)), **options)


@pytest.mark.parametrize(
    "data", [b"", HELLO, bytearray(HELLO), memoryview(HELLO), b"\xff\xff\xff", "text", None]
)
def test_every_payload(data: Any) -> None:
    first = inbound(SERVER, Opcode.TEXT, SET, HELLO)
    header, _, complete = first
    check([*first, header, ("frame_inbound_payload_data", SERVER, data), complete, *first])


@pytest.mark.parametrize(
    "rsv", [SET, CLEAR, RsvBits(1, 0, 0), RsvBits(None, True, True), (True, False, False), None]
)
@pytest.mark.parametrize("opcode", [Opcode.TEXT, 1, 9, Opcode.PING, None])
def test_headers_of_any_type(rsv: Any, opcode: Any) -> None:
    warm = inbound(SERVER, Opcode.TEXT, SET, HELLO)
    check([*warm, *inbound(SERVER, opcode, rsv, HELLO)], inbound(SERVER, opcode, rsv, HELLO))


def outbound(proto: Any, opcode: Any, rsv: Any, data: Any, fin: Any = True) -> Any:
    return "frame_outbound", proto, opcode, rsv, data, fin


@pytest.mark.parametrize("proto", [CLIENT, SERVER])
@pytest.mark.parametrize("takeover", [True, False])
def test_every_outbound_frame(proto: Any, takeover: bool) -> None:
    warm = outbound(proto, Opcode.TEXT, CLEAR, b"first")
    frames = [
        outbound(proto, opcode, rsv, data, fin)
        for opcode, rsv, data, fin in itertools.product(
            (*Opcode, 1, None),
            (CLEAR, RsvBits(False, True, 1), (False, False, False)),
            (b"data", bytearray(b"data"), memoryview(b"data")),
            (True, False, 1),
        )
    ]
    options = {
        "client_no_context_takeover": not takeover,
        "server_no_context_takeover": not takeover,
    }
    check(*([warm, each, warm] for each in frames), *([each] for each in frames), **options)


def speak(client: Connection, server: Connection) -> list[Any]:
    heard: list[Any] = []
    for number in range(6):
        text = TextMessage(data="some text or other " * number, message_finished=number % 2 == 1)
        for event in (text, Ping(payload=b"?"), BytesMessage(data=bytes(number * 1000))):
            if number % 2 == 0 and isinstance(event, BytesMessage):
                continue
            server.receive_data(client.send(event))
            heard += server.events()
    return heard


@pytest.mark.parametrize("takeover", [True, False])
def test_both_ends_understand_each_other(takeover: bool) -> None:
    def run() -> list[Any]:
        options = {"client_no_context_takeover": not takeover, "client_max_window_bits": 10}
        return speak(
            Connection(ConnectionType.CLIENT, [deflate(**options)]),
            Connection(ConnectionType.SERVER, [deflate(**options)]),
        )

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain


def test_the_zlib_of_somebody_else_is_used(fast: None) -> None:
    class Counting:
        Z_DEFAULT_COMPRESSION, DEFLATED = zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED
        Z_SYNC_FLUSH, error = zlib.Z_SYNC_FLUSH, zlib.error
        made = 0

        def compressobj(self, *arguments: Any) -> Any:
            self.made += 1
            return zlib.compressobj(*arguments)

        def decompressobj(self, *arguments: Any) -> Any:
            self.made += 1
            return zlib.decompressobj(*arguments)

    counting = Counting()
    with mock.patch.object(extensions, "zlib", counting):
        client = Connection(ConnectionType.CLIENT, [deflate(client_no_context_takeover=True)])
        server = Connection(ConnectionType.SERVER, [deflate(client_no_context_takeover=True)])
        for _ in range(2):
            server.receive_data(client.send(TextMessage(data="x" * 200)))
            assert [each.data for each in server.events()] == ["x" * 200]
    assert counting.made == 4


def test_an_error_of_its_own_zlib_is_a_refusal(fast: None) -> None:
    class Mine(Exception):
        pass

    extension = deflate()
    extension._inbound_compressed = extension._inbound_is_compressible = True
    extension._decompressor = mock.Mock(decompress=mock.Mock(side_effect=Mine))
    with mock.patch.object(extensions, "zlib", mock.Mock(error=Mine)):
        refused = CloseReason.INVALID_FRAME_PAYLOAD_DATA
        assert extension.frame_inbound_payload_data(SERVER, b"x") is refused
        assert extension.frame_inbound_complete(SERVER, True) is refused
    with pytest.raises(Mine):
        extension.frame_inbound_payload_data(SERVER, b"x")
    with pytest.raises(Mine):
        extension.frame_inbound_complete(SERVER, True)


HOOKS = [
    "frame_inbound_header",
    "frame_inbound_payload_data",
    "frame_inbound_complete",
    "frame_outbound",
    "_compressible_opcode",
]


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_of_a_subclass_is_called(fast: None, name: str) -> None:
    called = []

    def hook(self: Any, *arguments: Any) -> Any:
        called.append(name)
        return getattr(PerMessageDeflate, name)(self, *arguments)

    mine: Any = type("Mine", (PerMessageDeflate,), {name: hook})()
    mine.finalize("permessage-deflate")
    client = Connection(ConnectionType.CLIENT, [deflate()])
    server = Connection(ConnectionType.SERVER, [mine])
    server.receive_data(client.send(TextMessage(data="hello")) * 1)
    assert [each.data for each in server.events()] == ["hello"]
    assert server.send(TextMessage(data="hello")) == client.send(TextMessage(data="")) or called
    assert called


@pytest.mark.parametrize("name", HOOKS)
def test_a_mocked_hook_is_called(fast: None, name: str) -> None:
    real = vars(PerMessageDeflate)[name]
    called = []

    def hook(self: Any, *arguments: Any) -> Any:
        called.append(name)
        return real(self, *arguments)

    client = Connection(ConnectionType.CLIENT, [deflate()])
    server = Connection(ConnectionType.SERVER, [deflate()])
    with mock.patch.object(PerMessageDeflate, name, hook):
        for _ in range(2):
            server.receive_data(client.send(TextMessage(data="hello")))
            assert [each.data for each in server.events()] == ["hello"]
    assert len(called) >= 2
