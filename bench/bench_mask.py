"""Masking beside memcpy, and beside what other Python libraries use.

    python -m bench.bench_mask

The payload stands six bytes into its buffer, as behind the header of a masked frame; memcpy gets
the same place. Peers that are not installed are left out by name.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from bench.interleave import Row, interleave, row, table, timed
from bench.native import Buffers, library, loop, use_level
from wsfast import mask

__all__ = ["main", "rows"]

KEY = b"\x1d\x2c\x3b\x4a"
#: As in kernels.c.
KEY_WORD = int.from_bytes(KEY, sys.byteorder)
KIB = 1024
SKEW = 6

#: (kernel, CPU level, bytes, target); the level that is above AVX2 is for information.
AGAINST_MEMCPY = [
    *(("mask", "avx2", size * KIB, ">= 0.95") for size in (1, 4, 16)),
    *(("mask", "avx2", size * KIB, ">= 1.8") for size in (64, 256, 1024)),
    *(("mask", "sse2", size * KIB, ">= 0.5") for size in (1, 4, 16)),
    *(("mask", "sse2", size * KIB, ">= 1.2") for size in (64, 256, 1024)),
    *(("mask_copy", "avx2", size * KIB, ">= 0.95") for size in (1, 4, 16, 64, 256)),
    ("mask_copy", "avx2", 1024 * KIB, ">= 0.7"),
    *(("mask", "avx512", size * KIB, "") for size in (1, 4, 16, 64, 256, 1024)),
    *(("mask_copy", "avx512", size * KIB, "") for size in (1, 4, 16, 64, 256, 1024)),
]


def nothing(buffer: object, key: object) -> None:
    """What a call of a Python function costs when the function does nothing."""


def size_name(size: int) -> str:
    return f"{size} B" if size < KIB else f"{size // KIB} KiB"


def check(kernels: ctypes.PyDLL, size: int) -> None:
    """Each kernel gives what the definition gives."""
    text = bytes(range(251)) * (size // 251 + 1)
    buffers = Buffers(text[:size], skew=SKEW)
    expected = bytes(octet ^ KEY[i & 3] for i, octet in enumerate(text[:size]))
    pointer, word = ctypes.c_void_p, ctypes.c_size_t
    kernels.ws_mask_copy.argtypes = [pointer, pointer, word, ctypes.c_uint32]
    kernels.ws_mask_copy(buffers.dst, buffers.src, size, KEY_WORD)
    if buffers.written() != expected or mask.apply_mask(text[:size], KEY) != expected:
        raise RuntimeError(f"masking {size} bytes went wrong")


def kernel_rows(kernels: ctypes.PyDLL) -> Iterator[Row]:
    """How many times as fast as memcpy of glibc (or whatever the C library is)."""
    for kernel, level, size, target in AGAINST_MEMCPY:
        name = f"{kernel}, {level}, {size_name(size)} / memcpy"
        if not use_level(kernels, level):
            print(f"{name}: this machine has no {level}")
            continue
        check(kernels, size)
        buffers = Buffers(bytes(size), skew=SKEW)
        samplers = {
            "memcpy": loop(kernels, "memcpy", buffers),
            "ours": loop(kernels, kernel, buffers, level),
        }
        yield row(name, interleave(samplers), "memcpy", "ours", target)


def peers() -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Name, target and function of each other masking that is installed."""
    for name, place, function, target in (
        ("websockets", "websockets.speedups", "apply_mask", ">= 2"),
        ("wsaccel", "wsaccel.xormask", "XorMaskerSimple", ">= 5"),
    ):
        try:
            found = getattr(importlib.import_module(place), function)
        except ImportError:
            print(f"{name} is not installed: left out")
            continue
        yield (
            name,
            target,
            found if name == "websockets" else lambda d, k, c=found: c(k).process(d),
        )


def python_rows() -> Iterator[Row]:
    """A call from Python, in place beside an empty function, and to bytes beside the peers."""
    others = list(peers())
    for size in (0, 16, 125):
        data, buffer = bytes(size), bytearray(size)
        samplers = {
            "nothing": timed(nothing, buffer, KEY),
            "in place": timed(mask.apply_mask_in_place, buffer, KEY),
            "to bytes": timed(mask.apply_mask, data, KEY),
        }
        for name, _, function in others:
            if size and bytes(function(data, KEY)) != mask.apply_mask(data, KEY):
                raise RuntimeError(f"{name} and wsfast disagree")
            samplers[name] = timed(function, data, KEY)
        samples = interleave(samplers, seconds=0.5)
        label = size_name(size)
        yield row(f"in place, {label} / empty function", samples, "in place", "nothing", "<= 1.3")
        for name, target, _ in others:
            yield row(f"{name} / to bytes, {label}", samples, name, "to bytes", target)


def rows() -> Iterator[Row]:
    """The lines of the table, one by one as they are measured."""
    yield from kernel_rows(library())
    yield from python_rows()


def main() -> int:
    """Measure and print; 0 if every target is met."""
    return 0 if table("Masking", rows()) else 1


if __name__ == "__main__":
    sys.exit(main())
