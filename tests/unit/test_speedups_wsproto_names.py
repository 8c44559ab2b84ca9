"""What the speedups look up of wsproto, and whether they see that it is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("wsproto")

from wsproto import WSConnection, extensions, frame_protocol
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameDecoder, FrameProtocol, MessageDecoder
from wsproto.handshake import H11Handshake

from wsfast import speedups
from wsfast.speedups.wsproto_names import Names

VERSION = tuple(int(part) for part in version("wsproto").split("."))


@pytest.fixture
def names() -> Iterator[Names]:
    assert not speedups.status("wsproto")[0].slots
    yield Names()


def test_the_habits_are_those_of_the_release(names: Names) -> None:
    assert names.loose is (VERSION < (1, 3))
    assert names.copied is ((1, 3) <= VERSION < (1, 3, 2))


def test_globals_are_the_live_ones(names: Names) -> None:
    assert names.frame_protocol is vars(frame_protocol)
    assert names.extensions is vars(extensions)


def test_originals_start_out_unknown(names: Names) -> None:
    for name in ("process_buffer", "serialize_frame"):
        assert getattr(names, name) is None
        setattr(names, name, len)
        assert getattr(names, name) is len


CLASSES: dict[str, Any] = {
    "decoder": lambda: FrameDecoder(False),
    "messages": MessageDecoder,
    "protocol": lambda: FrameProtocol(False, []),
    "connection": lambda: Connection(ConnectionType.SERVER),
    "upgraded": lambda: WSConnection(ConnectionType.SERVER),
    "handshake": lambda: H11Handshake(ConnectionType.SERVER),
    "deflate": PerMessageDeflate,
}


@pytest.mark.parametrize("name", CLASSES)
def test_plain_objects_are_served_and_others_are_not(names: Names, name: str) -> None:
    methods = getattr(names, name)
    plain = CLASSES[name]()
    assert methods.serves(plain)
    assert not methods.serves(mock.Mock(spec=plain))
    for each in CLASSES.keys() - {name}:
        assert not methods.serves(CLASSES[each]())
    with speedups.installed("wsproto", strict=True):
        assert methods.serves(plain) and methods.serves(CLASSES[name]())


@pytest.mark.parametrize("name", [each for each in CLASSES if each != "handshake"])
def test_what_an_object_holds_is_known(names: Names, name: str) -> None:
    """A fresh object is told from one with a method of its own by the number of attributes."""
    plain = CLASSES[name]()
    before = len(vars(plain))
    other = CLASSES[name]()
    for method in ("events", "process_frame", "process_buffer", "send_data", "frame_outbound"):
        if hasattr(other, method):
            setattr(other, method, getattr(other, method))
            assert len(vars(other)) > before
            assert not getattr(names, name).serves(other)


def test_replaced_globals_are_seen(names: Names) -> None:
    assert names.frame_globals.unchanged() and names.event_globals.unchanged()
    with mock.patch("wsproto.frame_protocol.XorMaskerSimple"):
        assert not names.frame_globals.unchanged()
    with mock.patch("wsproto.connection.TextMessage"):
        assert not names.event_globals.unchanged()
    assert names.frame_globals.unchanged() and names.event_globals.unchanged()


def test_a_library_that_lacks_something_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(frame_protocol, "RsvBits")
    with pytest.raises(AttributeError, match="RsvBits"):
        Names()


def test_level_kernels_needs_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(frame_protocol.FrameDecoder, "extension_processing")
    with speedups.installed("wsproto"):
        (report,) = speedups.status("wsproto")
        assert report.level == "kernels"
        assert "extension_processing" in report.note
