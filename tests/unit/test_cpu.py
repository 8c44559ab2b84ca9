"""One CPU level for all kernels: listed, forced, and refused by name."""

import os
import subprocess
import sys

import pytest

from wsfast import cpu, mask, utf8

KEY = b"\x01\x02\x03\x04"


@pytest.fixture
def level_after():
    before = cpu.cpu_level()
    yield before
    cpu.set_cpu_level(before)


def test_levels():
    assert cpu.cpu_levels()[0] == "serial"
    assert cpu.cpu_level() in cpu.cpu_levels()
    for name in ("quantum", "", "SSE2"):
        with pytest.raises(ValueError, match=f"CPU level '{name}': this machine has serial"):
            cpu.set_cpu_level(name)


def test_environment_forces_a_level():
    program = "import wsfast.mask, wsfast.cpu; print(wsfast.cpu.cpu_level())"
    for name in (*cpu.cpu_levels(), "quantum"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "WSFAST_CPU": name, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if name == "quantum":
            assert "WSFAST_CPU=quantum: CPU level 'quantum': this machine has" in done.stderr
        else:
            assert done.stdout.strip() == name, done.stderr


def test_every_level_serves_every_kernel(level_after):
    text = "grüße, 世界".encode() * 50
    masked = bytes(octet ^ KEY[i & 3] for i, octet in enumerate(text))
    for name in cpu.cpu_levels():
        cpu.set_cpu_level(name)
        assert cpu.cpu_level() == name
        assert mask.apply_mask(text, KEY) == masked
        assert utf8.is_valid_utf8(text) and not utf8.is_valid_utf8(masked + b"\xff")


def test_a_refused_level_changes_nothing(level_after):
    with pytest.raises(ValueError):
        cpu.set_cpu_level("quantum")
    assert cpu.cpu_level() == level_after


def test_none_is_no_level():
    with pytest.raises(TypeError):
        cpu.set_cpu_level(None)
