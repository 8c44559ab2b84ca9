"""The C kernels without Python around them, through ctypes, for what no module shows."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

__all__ = ["LEVELS", "State", "load"]

SOURCES = Path(__file__).resolve().parent.parent / "src_c"
LEVELS = ("serial", "sse2", "avx2", "avx512", "neon")


class State(ctypes.Structure):
    """ws_utf8_state."""

    _fields_ = [("tail", ctypes.c_uint8 * 3), ("pending", ctypes.c_uint8)]


@functools.cache
def _compiled() -> ctypes.CDLL:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("neither gcc nor clang is installed")
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, "kernels.so")
        sources = sorted(str(path) for path in SOURCES.glob("*.c"))
        flags = ["-std=c11", "-O3", "-fPIC", "-shared"]
        subprocess.run([compiler, *flags, *sources, "-o", str(target)], check=True, timeout=120)
        return _declared(ctypes.CDLL(str(target)))


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size, key = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
    library.ws_mask.argtypes = [pointer, size, key]
    library.ws_mask_copy.argtypes = [pointer, pointer, size, key]
    library.ws_unmask_ascii.argtypes = [pointer, pointer, size, key]
    library.ws_unmask_utf8.argtypes = [pointer, pointer, pointer, size, key]
    library.ws_unmask_utf8.restype = size
    library.ws_utf8_validate.argtypes = [pointer, size, pointer]
    library.ws_utf8_validate.restype = size
    library.ws_utf8_feed.argtypes = [pointer, pointer, size]
    library.ws_utf8_feed.restype = size
    library.ws_cpu_name.restype = ctypes.c_char_p
    return library


def load(level: str) -> ctypes.CDLL:
    """The kernels at a CPU level; skips by name if this machine has it not, or no compiler."""
    library = _compiled()
    number = LEVELS.index(level)
    if not library.ws_cpu_has(number):
        pytest.skip(f"this machine has no {level}")
    library.ws_mask_use(number)
    library.ws_utf8_use(number)
    return library
