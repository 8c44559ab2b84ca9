"""eventlet's _pack_message, ours against its own: every kind of message, and who is asked."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("eventlet")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that it is deprecated
    from eventlet import websocket as module
    from eventlet.websocket import RFC6455WebSocket

from ids import shown
from wsfast import speedups
from wsfast.speedups.eventlet_selftest import Socket, unmasked, websocket
from wsfast.speedups.selftest import outcome


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with speedups.installed("eventlet", strict=True):
        yield


def original() -> Any:
    return speedups.registry.library("eventlet").originals[
        "eventlet.websocket:RFC6455WebSocket._pack_message"
    ]


def both(message: Any, ws: Any = None, **named: Any) -> Any:
    ws = ws or websocket(Socket(), client=True)
    expected = outcome(original(), ws, message, **named)
    got = outcome(ws._pack_message, message, **named)
    assert got.kind == expected.kind
    if got.kind == "raised":
        assert got == expected
        return got.value
    assert got.value[0] is expected.value[0] is bytes
    assert unmasked(got.value[1]) == unmasked(expected.value[1])
    return got.value[1]


MESSAGES = [
    "",
    "text",
    "žluť 漢字",
    b"",
    b"data",
    bytes(125),
    bytes(126),
    "a" * 65535,
    bytes(65536),
]


@pytest.mark.parametrize(
    "message", MESSAGES, ids=lambda each: f"{type(each).__name__} {len(each)}"
)
@pytest.mark.parametrize("masked", [True, False, 1, None])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("continuation", [True, False])
def test_messages(message: Any, masked: Any, final: bool, continuation: bool) -> None:
    frame = both(message, masked=masked, final=final, continuation=continuation)
    opcode = 0 if continuation else 1 if type(message) is str else 2
    assert frame[0] == opcode | 0x80 * final
    assert bool(frame[1] & 0x80) == bool(masked and message), "no point in masking nothing"


@pytest.mark.parametrize("code", [8, 9, 10, 7, 11, -1, "9", 9.0, True])
@pytest.mark.parametrize("message", ["text", b"", bytes(125), bytes(126)], ids=len)
def test_control_frames(code: Any, message: Any) -> None:
    both(message, control_code=code, masked=True)
    both(message, control_code=code, continuation=True)
    both(message, control_code=code, final=False)


@pytest.mark.parametrize(
    "message", [bytearray(b"data"), memoryview(b"data"), None, 5, "\ud800", ["text"]], ids=shown
)
def test_messages_of_every_type(message: Any) -> None:
    both(message)
    both(message, control_code=9)


def test_strings_of_a_subclass() -> None:
    class Text(str):
        def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
            return b"mine"

    assert both(Text("text")) == b"\x81\x04mine"


def test_no_two_masking_keys_are_equal() -> None:
    ws = websocket(Socket(), client=True)
    assert len({ws._pack_message(bytes(4), masked=True) for _ in range(100)}) == 100


def test_another_generator_is_used() -> None:
    ws = websocket(Socket(), client=True)
    with mock.patch.object(module, "Random") as generator:
        generator.return_value.getrandbits.side_effect = [1, 2, 3, 4]
        assert ws._pack_message(bytes(4), masked=True) == b"\x82\x84" + b"\1\2\3\4" * 2


@pytest.mark.parametrize("options", [{}, {"client_no_context_takeover": True}])
def test_compressed_messages_are_left_to_theirs(options: dict[str, Any]) -> None:
    told = []
    for pack in (original(), RFC6455WebSocket._pack_message):
        ws = websocket(Socket(), client=True, extensions={"permessage-deflate": options})
        told.append([pack(ws, "text" * 50), pack(ws, "text" * 50), pack(ws, b"", control_code=9)])
    assert told[0] == told[1] and told[0][0][0] == 0xC1


def test_extensions_of_another_type() -> None:
    class Extensions(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            return {}

    ws = websocket(Socket(), client=True)
    ws.extensions = Extensions()
    assert ws._pack_message("text")[0] == 0xC1


@pytest.mark.parametrize("name", ["_apply_mask", "_get_permessage_deflate_enc"])
def test_a_method_of_the_instance_is_called(name: str) -> None:
    ws = websocket(Socket(), client=True)
    setattr(ws, name, method := mock.Mock(return_value=None))
    assert ws._pack_message("text") == b"\x81\x04text"
    assert method.called == (name != "_apply_mask"), "theirs asks the class for that"


def test_a_mask_that_is_replaced_in_the_library_is_used() -> None:
    with mock.patch.object(RFC6455WebSocket, "_apply_mask", lambda data, mask, length: b"mine"):
        assert websocket(Socket())._pack_message("text", masked=True)[6:] == b"mine"


def test_a_websocket_sends_through_it() -> None:
    sock = Socket()
    with mock.patch.object(sock, "sendall") as sendall:
        websocket(sock, client=True).send("žluť")
        websocket(sock).send(b"data")
    first, second = (each.args[0] for each in sendall.call_args_list)
    assert unmasked(first) == (b"\x81\x86", "žluť".encode()) and second == b"\x82\x04data"
