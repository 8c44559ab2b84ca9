"""The C timing loops of kernels.c and text.c, built with the kernels into a shared library."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

from bench.interleave import Sampler

__all__ = ["Buffers", "LEVELS", "library", "loop", "other", "use_level"]

ROOT = Path(__file__).parents[1]
PAGE = 4096
RING = 16384  # as in kernels.c
LEVELS = {"serial": 0, "sse2": 1, "avx2": 2, "avx512": 3, "neon": 4}


def _build(target: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise RuntimeError("bench needs a C compiler; set CC")
    sources = [*(ROOT / "src_c").glob("*.c"), ROOT / "bench/kernels.c", ROOT / "bench/text.c"]
    includes = [f"-I{ROOT / 'src_c'}", f"-I{sysconfig.get_path('include')}"]
    flags = ["-std=gnu11", "-O3", "-fPIC", "-shared"]
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, *flags, *includes, *sources, "-o", target], check=True)


def library() -> ctypes.PyDLL:
    """Build the loops if a source is newer, and load them; calls keep the GIL.

    Raises:
        RuntimeError: there is no C compiler.
    """
    target = ROOT / "build/bench" / f"kernels-{sysconfig.get_config_var('SOABI')}.so"
    sources = [*(ROOT / "src_c").iterdir(), *(ROOT / "bench").glob("*.c")]
    newest = max(path.stat().st_mtime for path in sources)
    if not target.exists() or target.stat().st_mtime < newest:
        _build(target)
    return ctypes.PyDLL(str(target))


def use_level(kernels: ctypes.PyDLL, name: str) -> bool:
    """Force a CPU level in the library, and say whether this machine has it."""
    if not kernels.ws_cpu_has(LEVELS[name]):
        return False
    kernels.ws_mask_use(LEVELS[name])
    kernels.ws_utf8_use(LEVELS[name])
    return True


class Buffers:
    """Two blocks in memory: the text to read, and as much room to write to.

    Attributes:
        src: address of the text, repeated up to RING bytes if it is shorter.
        dst: address of the room, as long.
        size: bytes of the text.
    """

    def __init__(self, text: bytes, *, skew: int = 0) -> None:
        self.size = len(text)
        length = max(len(text), RING)
        self._memory = (ctypes.c_uint8 * (2 * length + 3 * PAGE))()
        page = (ctypes.addressof(self._memory) + PAGE - 1) & -PAGE
        self.src = page + skew
        # Half a page further on: stores to dst do not look like loads from src to the processor.
        self.dst = page + ((length + PAGE - 1) & -PAGE) + PAGE // 2 + skew
        for at in range(0, length - len(text) + 1, len(text)):
            ctypes.memmove(self.src + at, text, len(text))

    def written(self) -> bytes:
        """What dst holds."""
        return ctypes.string_at(self.dst, self.size)


def loop(kernels: ctypes.PyDLL, name: str, buffers: Buffers, level: str = "") -> Sampler:
    """A sampler for bench_<name>, at a CPU level or the one in use."""
    function = getattr(kernels, f"bench_{name}")
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return _checked(kernels, function, buffers.dst, buffers, level)


def other(
    kernels: ctypes.PyDLL, path: str, symbol: str, buffers: Buffers, level: str = ""
) -> Sampler:
    """A sampler for the validator `int symbol(const char *, size_t)` of a shared library."""
    validator = ctypes.cast(getattr(ctypes.CDLL(path), symbol), ctypes.c_void_p).value
    function = kernels.bench_other
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return _checked(kernels, function, validator or 0, buffers, level)


def _checked(
    kernels: ctypes.PyDLL,
    function: Callable[..., float],
    first: int,
    buffers: Buffers,
    level: str,
) -> Sampler:
    def sample(n: int) -> float:
        if level:
            use_level(kernels, level)
        seconds = function(n, first, buffers.src, buffers.size)
        if seconds < 0:
            raise RuntimeError("a validator refused valid text")
        return seconds

    return sample
