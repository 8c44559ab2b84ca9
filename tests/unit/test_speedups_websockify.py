"""websockify with the speedups in: what is replaced, when, how deep, and put back."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockify")

from websockify.websocket import WebSocket

from wsfast import speedups
from wsfast.speedups.guard import find, fingerprint
from wsfast.speedups.websockify import STOOD_FOR, TARGET, WEBSOCKET


def slots() -> list[Any]:
    return list(TARGET.parts[0].slots())


def held(where: str) -> Any:
    return find(where)[2]


@pytest.mark.parametrize(
    ("level", "names"),
    [("kernels", {"_unmask"}), ("frames", {"_unmask", "_decode_hybi", "_recv_frames"})],
)
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any, names: Any) -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("websockify", level=level, strict=True):
        (report,) = speedups.status("websockify")
        assert (report.state, report.level) == ("active", level)
        changed = {where for where, value in before.items() if held(where) is not value}
        assert changed == set(report.slots) == {WEBSOCKET + name for name in names}
    assert all(held(where) is value for where, value in before.items())


def test_replacements_look_like_the_originals() -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("websockify", strict=True):
        for where, original in before.items():
            ours = held(where)
            assert ours.__wsfast__ is ours.__wrapped__ is original
            assert (ours.__name__, ours.__qualname__) == (original.__name__, original.__qualname__)
            assert inspect.signature(ours) == inspect.signature(original)


def test_fingerprints_are_of_this_version() -> None:
    for name, known in STOOD_FOR.items():
        assert fingerprint(held(WEBSOCKET + name)) in known.split()
    for slot in slots():
        assert slot.level == "kernels" or fingerprint(held(slot.where)) in slot.fingerprints


@pytest.mark.parametrize("name", sorted(STOOD_FOR))
def test_a_helper_of_unknown_source_steps_back_to_kernels(name: str) -> None:
    original = getattr(WebSocket, name)

    if name == "_recv":

        def another(self: Any) -> Any:
            return original(self)
    else:

        def another(self: Any, buf: Any, mask: Any) -> Any:
            return original(self, buf, mask)

    with mock.patch.object(WebSocket, name, another):
        with speedups.installed("websockify", level="frames"):
            (report,) = speedups.status("websockify")
    assert report.level == "kernels"
    assert f"{name}: its source" in report.note


def test_tested_range() -> None:
    assert TARGET.tested == ("0.10", "0.14")


@pytest.mark.parametrize("numpy", [True, False])
def test_installed_before_and_after_the_import(numpy: bool) -> None:
    code = f"""
import sys, warnings
warnings.simplefilter("ignore")
if not {numpy}:
    sys.modules["numpy"] = None
from wsfast import speedups
speedups.install("websockify", strict=True)
assert "websockify" not in sys.modules
import websockify.websocket
WebSocket = websockify.websocket.WebSocket
assert WebSocket._unmask.__wsfast__ and WebSocket._recv_frames.__wsfast__
assert WebSocket()._unmask(b"abcde", b"1234") == bytes(map(int.__xor__, b"abcde", b"12341"))
speedups.uninstall("websockify")
assert not hasattr(WebSocket._unmask, "__wsfast__")
speedups.install("websockify", strict=True)
assert WebSocket._unmask.__wsfast__
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_workloads_run_with_and_without() -> None:
    for work in TARGET.workloads():
        plain = work.run()
        with speedups.installed("websockify", strict=True):
            assert work.run() == plain, work.name
    assert {work.size for work in TARGET.workloads()} == {8, 125, 65536}
