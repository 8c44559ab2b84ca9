"""websocket-client with the speedups in: what is replaced, when, how deep, and put back."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websocket")

import websocket
from websocket import ABNF, WebSocket, _abnf, _core, _utils

from wsfast import speedups
from wsfast.speedups.guard import find, fingerprint
from wsfast.speedups.websocket_client import STOOD_FOR, TARGET

KERNELS = {"websocket._abnf:ABNF.mask", "websocket._utils:_validate_utf8"}


def slots() -> list[Any]:
    return list(TARGET.parts[0].slots())


def held(where: str) -> Any:
    return find(where)[2]


# --- what is replaced --------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("websocket-client", level=level, strict=True):
        (report,) = speedups.status("websocket-client")
        assert (report.state, report.level) == ("active", level)
        assert all("test_" in each for each in report.stale)
        changed = {where for where, value in before.items() if held(where) is not value}
        assert changed == set(report.slots)
        assert changed == (KERNELS if level == "kernels" else set(before))
    assert all(held(where) is value for where, value in before.items())


def test_replacements_look_like_the_originals() -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("websocket-client", strict=True):
        for where, original in before.items():
            ours = held(where)
            assert type(ours) is staticmethod if type(original) is staticmethod else callable(ours)
            ours, original = (getattr(each, "__func__", each) for each in (ours, original))
            assert ours.__wsfast__ is ours.__wrapped__ is original
            for name in ("__name__", "__qualname__", "__module__", "__doc__"):
                assert getattr(ours, name) == getattr(original, name)
            assert inspect.signature(ours) == inspect.signature(original)


def test_classes_stay_what_they_were() -> None:
    classes = (_abnf.ABNF, _abnf.frame_buffer, _abnf.continuous_frame, _core.WebSocket)
    with speedups.installed("websocket-client", strict=True):
        assert (
            _abnf.ABNF,
            _abnf.frame_buffer,
            _abnf.continuous_frame,
            _core.WebSocket,
        ) == classes
        assert isinstance(ABNF.create_frame("x", ABNF.OPCODE_TEXT), ABNF)
        assert isinstance(websocket.WebSocket(), WebSocket)


def test_a_connection_that_was_there_before_is_faster_too() -> None:
    connection = WebSocket()
    with speedups.installed("websocket-client", strict=True):
        assert WebSocket.recv.serves(connection)
    assert not hasattr(WebSocket.recv, "serves")


def test_validate_utf8_is_not_rebound() -> None:
    """The name has two copies; both call the one that is replaced."""
    before = _utils.validate_utf8, _abnf.validate_utf8
    with speedups.installed("websocket-client", strict=True):
        assert (_utils.validate_utf8, _abnf.validate_utf8) == before
        with mock.patch.object(_utils, "_validate_utf8", return_value="asked"):
            assert _abnf.validate_utf8(b"x") == "asked"


# --- what it must be for that --------------------------------------------------------------------


def test_fingerprints_are_of_this_version() -> None:
    for where, known in STOOD_FOR.items():
        assert fingerprint(held(where)) in known.split(), where
    for slot in slots():
        assert slot.level == "kernels" or fingerprint(held(slot.where)) in slot.fingerprints


@pytest.mark.parametrize("where", sorted(STOOD_FOR))
def test_a_helper_of_unknown_source_steps_back_to_kernels(where: str) -> None:
    owner, name, original = find(where)

    def another(*arguments: Any) -> Any:
        """Does more than was tested."""
        return getattr(original, "__func__", original)(*arguments)

    kind = staticmethod if isinstance(original, staticmethod) else lambda function: function
    with mock.patch.object(owner, name, kind(another)):
        with speedups.installed("websocket-client", level="frames"):
            (report,) = speedups.status("websocket-client")
    assert report.level == "kernels"
    assert f"{where}: its source" in report.note


def test_a_random_source_that_is_replaced_steps_back_to_kernels() -> None:
    with mock.patch("os.urandom", lambda size: b"x" * size):
        with speedups.installed("websocket-client", level="frames"):
            (report,) = speedups.status("websocket-client")
    assert report.level == "kernels"
    assert "os.urandom is replaced" in report.note


def test_a_mask_with_other_parameters_is_refused() -> None:
    with mock.patch.object(ABNF, "mask", staticmethod(lambda key, data, offset: b"")):
        with speedups.installed("websocket-client"):
            (report,) = speedups.status("websocket-client")
    assert report.state == "refused"
    assert "ABNF.mask: its parameters are (key, data, offset)" in report.note


def test_tested_range() -> None:
    assert TARGET.tested == ("1.2.2", "1.10")


# --- when --------------------------------------------------------------------------------------

CHECK = """
import sys
from wsfast import speedups

def check():
    (report,) = speedups.status("websocket-client")
    assert (report.state, report.level, len(report.slots)) == ("active", "frames", 8), report
    assert websocket.WebSocket.recv.serves(websocket.WebSocket())
    assert websocket.ABNF.mask(b"1234", websocket.ABNF.mask(b"1234", b"abcde")) == b"abcde"
"""


def run(code: str) -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", CHECK + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", ["websocket", "websocket._core", "websocket._abnf", "websocket._app"]
)
def test_installed_before_the_import(name: str) -> None:
    run(
        f"""
speedups.install("websocket-client", strict=True)
assert "websocket" not in sys.modules
assert speedups.status("websocket-client")[0].state == "pending"
import {name}
import websocket
check()
"""
    )


def test_installed_after_the_import() -> None:
    run(
        """
import websocket
speedups.install("websocket-client", strict=True)
check()
speedups.uninstall("websocket-client")
assert not hasattr(websocket.WebSocket.recv, "__wsfast__")
"""
    )


def test_without_wsaccel() -> None:
    run(
        """
sys.modules["wsaccel"] = None
import websocket
speedups.install("websocket-client", strict=True)
check()
assert websocket._utils.validate_utf8(b"ok") and not websocket._utils.validate_utf8(b"\\xff")
"""
    )


# --- bench -------------------------------------------------------------------------------------


def test_workloads_run_with_and_without() -> None:
    for work in TARGET.workloads():
        if work.size < 1 << 20:
            plain = work.run()
            with speedups.installed("websocket-client", strict=True):
                assert work.run() == plain, work.name
    names = {(work.name, work.size) for work in TARGET.workloads()}
    assert {("recv text", 125), ("send text", 65536), ("recv binary", 1 << 20)} <= names
