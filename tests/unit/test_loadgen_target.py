"""wsfast.loadgen.target against a made-up /proc, this process, and a child of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wsfast.loadgen import target

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """Two processes, parent 10 and child 11."""
    monkeypatch.setattr("wsfast.loadgen.cpu.own_seconds", {10: 1.0, 11: 0.5}.__getitem__)
    for pid, parent, pages, files in ((10, 1, 100, 3), (11, 10, 50, 2)):
        folder = tmp_path / str(pid)
        (folder / "fd").mkdir(parents=True)
        zeros = "0 " * 15
        (folder / "stat").write_text(f"{pid} (server) S {parent} {zeros}")
        (folder / "statm").write_text(f"9999 {pages} 1 1 0 1 0")
        for number in range(files):
            (folder / "fd" / str(number)).touch()
    return tmp_path


def test_a_process_with_its_children(proc):
    assert target.sample(10, proc) == (1.5, 2, 150 * target.PAGE_BYTES, 5)


def test_a_child_alone(proc):
    assert target.sample(11, proc) == (0.5, 1, 50 * target.PAGE_BYTES, 2)


def test_nobody(proc):
    assert target.sample(12, proc) is None


def test_descriptors_of_somebody_else(proc, monkeypatch):
    real = os.listdir

    def listdir(path):
        if str(path).endswith("fd"):
            raise PermissionError(13, "not yours")
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    found = target.sample(10, proc)
    assert found is not None
    assert found.descriptors is None


def test_one_that_ended_while_we_looked(proc):
    (proc / "11" / "statm").unlink()
    for each in (proc / "11" / "fd").iterdir():
        each.unlink()
    (proc / "11" / "fd").rmdir()
    assert target.sample(10, proc) == (1.5, 2, 100 * target.PAGE_BYTES, 3)


def test_this_process():
    found = target.sample(os.getpid())
    assert found is not None
    assert found.rss_bytes > 5_000_000
    assert found.descriptors is not None
    before = found.descriptors
    read, write = os.pipe()
    try:
        again = target.sample(os.getpid())
        assert again is not None
        assert again.descriptors == before + 2
    finally:
        os.close(read)
        os.close(write)


def test_a_child_counts():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = target.sample(os.getpid())
        assert found is not None
        assert found.processes >= 2
        child.communicate(b"\n")
