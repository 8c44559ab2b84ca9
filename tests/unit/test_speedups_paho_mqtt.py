"""paho-mqtt with the speedups in: what is replaced, when, how deep, and put back."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("paho.mqtt.client")

from wsfast import speedups
from wsfast.speedups.guard import find, fingerprint
from wsfast.speedups.paho_mqtt import STOOD_FOR, TARGET


def slots() -> list[Any]:
    return list(TARGET.parts[0].slots())


def held(where: str) -> Any:
    return find(where)[2]


def place() -> str:
    found: str = slots()[0].where.rpartition(".")[0]
    return found


@pytest.mark.parametrize(
    ("level", "names"),
    [("kernels", {"_create_frame"}), ("frames", {"_create_frame", "_send_impl", "_recv_impl"})],
)
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any, names: Any) -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("paho-mqtt", level=level, strict=True):
        (report,) = speedups.status("paho-mqtt")
        assert (report.state, report.level) == ("active", level)
        changed = {where for where, value in before.items() if held(where) is not value}
        assert changed == set(report.slots) == {f"{place()}.{name}" for name in names}
    assert all(held(where) is value for where, value in before.items())


def test_replacements_look_like_the_originals() -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("paho-mqtt", strict=True):
        for where, original in before.items():
            ours = held(where)
            assert ours.__wsfast__ is ours.__wrapped__ is original
            assert (ours.__name__, ours.__qualname__) == (original.__name__, original.__qualname__)
            assert inspect.signature(ours) == inspect.signature(original)


def test_fingerprints_are_of_this_version() -> None:
    for name, known in STOOD_FOR.items():
        assert fingerprint(held(f"{place()}.{name}")) in known.split()
    for slot in slots():
        assert fingerprint(held(slot.where)) in slot.fingerprints


def test_a_helper_of_unknown_source_steps_back_to_kernels() -> None:
    def another(self: Any, length: int) -> bytearray:
        """Does something else than was tested."""
        return bytearray(length)

    with mock.patch.object(held(place()), "_buffered_read", another):
        with speedups.installed("paho-mqtt", level="frames"):
            (report,) = speedups.status("paho-mqtt")
    assert report.level == "kernels"
    assert "_buffered_read: its source" in report.note


@pytest.mark.parametrize("random", [lambda size: b"x" * size])
def test_a_random_source_that_is_replaced_is_refused(random: Any) -> None:
    with mock.patch("os.urandom", random), speedups.installed("paho-mqtt"):
        (report,) = speedups.status("paho-mqtt")
    assert report.state == "refused"
    assert "os.urandom is replaced" in report.note


def test_tested_range() -> None:
    assert TARGET.tested == ("1.6", "2.3")


def test_installed_before_and_after_the_import() -> None:
    code = """
import sys
from wsfast import speedups
speedups.install("paho-mqtt", strict=True)
assert "paho" not in sys.modules
import paho.mqtt.client as client
owner = getattr(client, "_WebsocketWrapper", None) or client.WebsocketWrapper
assert owner._create_frame.__wsfast__
speedups.uninstall("paho-mqtt")
assert not hasattr(owner._create_frame, "__wsfast__")
speedups.install("paho-mqtt", strict=True)
assert owner._create_frame.__wsfast__
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_workloads_run_with_and_without() -> None:
    for work in TARGET.workloads():
        if work.size <= 125:
            plain = work.run()
            with speedups.installed("paho-mqtt", strict=True):
                assert work.run() == plain, work.name
    assert {work.size for work in TARGET.workloads()} == {125, 65536, 1 << 20}
