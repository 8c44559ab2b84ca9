"""wsfast.loadgen.cpu against a made-up /proc and against this process."""

from __future__ import annotations

import os
import sys
import time

import pytest

from wsfast.loadgen import cpu

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def write_stat(proc, pid, parent, times, name="python"):
    folder = proc / str(pid)
    folder.mkdir()
    zeros = "0 " * 9
    line = f"{pid} ({name}) S {parent} {zeros}{' '.join(map(str, times))} 20 0 1 0"
    (folder / "stat").write_text(line)


@pytest.fixture
def proc(tmp_path):
    write_stat(tmp_path, 10, 1, (100, 20, 3, 4))
    write_stat(tmp_path, 11, 10, (50, 5, 0, 0), name="a) S 1 (b")
    write_stat(tmp_path, 12, 11, (7, 0, 0, 0))
    write_stat(tmp_path, 13, 1, (9999, 0, 0, 0))
    (tmp_path / "meminfo").write_text("not a process")
    (tmp_path / "14").mkdir()  # it ended between the listing and the reading
    return tmp_path


@pytest.fixture
def clocks(monkeypatch):
    monkeypatch.setattr(cpu, "own_seconds", {10: 1.2, 11: 0.55, 12: 0.07, 13: 99.0}.__getitem__)


def test_a_process_with_its_descendants(proc, clocks):
    assert sorted(cpu.family_of(10, proc)) == [10, 11, 12]
    ended = (3 + 4) / cpu.TICKS  # children that process 10 waited for
    assert cpu.cpu_seconds(10, proc) == pytest.approx(1.2 + 0.55 + 0.07 + ended)


def test_a_leaf(proc, clocks):
    assert cpu.family_of(12, proc) == [12]
    assert cpu.cpu_seconds(12, proc) == pytest.approx(0.07)


def test_the_clock_of_a_process_that_is_not_there():
    with pytest.raises(ProcessLookupError, match="4194305"):
        cpu.own_seconds(4194305)  # above the kernel's largest pid


@pytest.mark.parametrize("pid", [14, 15])
def test_a_process_that_is_not_there(proc, pid):
    with pytest.raises(ProcessLookupError, match=str(pid)):
        cpu.cpu_seconds(pid, proc)


def test_this_process():
    outer = time.process_time()
    before = cpu.cpu_seconds(os.getpid())
    inner = time.process_time()
    while time.process_time() < inner + 0.1:
        pass
    least = time.process_time() - inner
    found = cpu.cpu_seconds(os.getpid()) - before
    assert least - 1e-6 <= found <= time.process_time() - outer + 1e-6
