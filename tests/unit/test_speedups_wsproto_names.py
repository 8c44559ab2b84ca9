"""What the speedups look up of wsproto, and whether they see that it is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest

pytest.importorskip("wsproto")

from wsproto import extensions, frame_protocol

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


def test_replacements_start_out_unknown(names: Names) -> None:
    for name in (
        *("process_buffer", "process_frame", "received_frames", "send_data", "serialize_frame"),
        *("inbound_header", "inbound_payload", "inbound_complete"),
        *("original_process_buffer", "original_process_frame", "original_serialize_frame"),
    ):
        assert getattr(names, name) is None
        setattr(names, name, test_replacements_start_out_unknown)
        assert getattr(names, name) is test_replacements_start_out_unknown


def test_looking_leaves_the_library_as_it_was() -> None:
    before = {name: dict(vars(frame_protocol.FrameDecoder)) for name in ("decoder",)}
    for _ in range(3):
        Names()
    assert dict(vars(frame_protocol.FrameDecoder)) == before["decoder"]


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
