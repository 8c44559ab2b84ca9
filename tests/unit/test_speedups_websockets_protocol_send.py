"""websockets' sans-I/O core, replaced: what is sent, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

from websockets.exceptions import InvalidState
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, CLOSING, SERVER, Protocol

from ids import shown
from wsfast import speedups
from wsfast.speedups.selftest import outcome
from wsfast.speedups.websockets_selftest import seen

SIDES = [SERVER, CLIENT]


def deflate(*flags: bool) -> list[Any]:
    return [PerMessageDeflate(*(flags or (False, False)), 12, 12, {})]


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


def check_sent(calls: Any, side: Any = CLIENT, **options: Any) -> None:
    """The same frames and errors with the speedups as without."""
    extensions = options.get("extensions", list)

    def sent() -> list[Any]:
        protocol = Protocol(side)
        protocol.extensions = extensions()
        return [
            (outcome(getattr(protocol, name), *arguments), seen(protocol))
            for name, *arguments in calls
        ]

    plain = sent()
    with speedups.installed("websockets", strict=True):
        assert sent() == plain


class Reversing(Extension):
    """Somebody's own extension."""

    name = "x-reversing"  # type: ignore[assignment]

    def encode(self, frame: Any) -> Any:
        return Frame(frame.opcode, bytes(frame.data)[::-1], frame.fin, False, True)


class Quiet(PerMessageDeflate):
    """A subclass that leaves text alone."""

    def encode(self, frame: Any) -> Any:
        return frame if frame.opcode is Opcode.TEXT else super().encode(frame)


@pytest.mark.parametrize(
    "extensions",
    [
        lambda: [Reversing()],
        lambda: (Reversing(),),
        lambda: [Quiet(False, False, 12, 12)],
        lambda: [*deflate(), Reversing()],
        tuple,
    ],
)
def test_other_extensions_are_called_by_the_library(extensions: Any) -> None:
    check_sent([("send_text", b"abc"), ("send_binary", b"abc")], extensions=extensions)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("extensions", [list, deflate, lambda: deflate(False, True)])
def test_messages_of_every_length(side: Any, extensions: Any) -> None:
    payloads = [bytes(size) for size in (0, 1, 125, 126, 127, 3000, 65535, 65536, 70_000)]
    calls = [(name, each) for each in payloads for name in ("send_text", "send_binary")]
    check_sent(calls, side, extensions=extensions)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("extensions", [list, deflate])
def test_fragments_and_calls_out_of_order(side: Any, extensions: Any) -> None:
    calls = [
        ("send_continuation", b"nothing to continue", True),
        ("send_text", b"first", False),
        ("send_binary", b"another", True),
        ("send_continuation", b"more", False),
        ("send_ping", b"between"),
        ("send_continuation", b"last", True),
        ("send_binary", b"odd", 1),
        ("send_binary", b"odd", 0),
        ("send_continuation", b"odd", None),
        ("send_continuation", b"odd", "yes"),
        ("send_close", 1000),
        ("send_text", b"too late"),
    ]
    check_sent(calls, side, extensions=extensions)


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"abc"),
        memoryview(b"abcdef"),
        memoryview(b"abcdef")[::2],
        memoryview(b"abcdefgh").cast("I"),
        memoryview(b"")[::2],
        "text",
        None,
        7,
        [1, 2],
        bytearray(),
    ],
    ids=shown,
)
@pytest.mark.parametrize("extensions", [list, deflate])
def test_every_type_of_data(data: Any, extensions: Any) -> None:
    for side in SIDES:
        check_sent(
            [("send_text", data), ("send_binary", data, False)], side, extensions=extensions
        )


def test_released_memory_is_refused(fast: None) -> None:
    view = memoryview(b"gone")
    view.release()
    with pytest.raises(ValueError, match="released memoryview"):
        Protocol(CLIENT).send_text(view)


def test_a_closing_connection_sends_no_message(fast: None) -> None:
    protocol = Protocol(CLIENT, state=CLOSING)
    with pytest.raises(InvalidState, match="connection is closing"):
        protocol.send_text(b"x")


def test_masking_keys_come_from_the_library_s_source(fast: None) -> None:
    protocol = Protocol(CLIENT)
    with mock.patch("secrets.token_bytes", return_value=b"\x00\xff\x00\xff") as source:
        protocol.send_text(b"abcd")
        protocol.send_ping(b"")
    assert protocol.data_to_send() == [
        b"\x81\x84\x00\xff\x00\xffa\x9dc\x9b",
        b"\x89\x80\0\xff\0\xff",
    ]
    assert source.call_args_list == [mock.call(4), mock.call(4)]
    protocol.send_text(b"")
    protocol.send_text(b"")
    first, second = protocol.data_to_send()
    assert first[2:] != second[2:]


def test_an_encoder_that_does_not_flush_is_refused(fast: None) -> None:
    protocol = Protocol(CLIENT)
    protocol.extensions = deflate()
    encoder = mock.Mock(**{"compress.return_value": b"", "flush.return_value": b"none"})
    protocol.extensions[0].encoder = encoder
    with pytest.raises(AssertionError):
        protocol.send_text(b"x")
