"""UTF-8 validation beside simdutf and wsaccel, and masked text that becomes a str.

    WSFAST_SIMDUTF=./yardstick.so python -m bench.bench_utf8

WSFAST_SIMDUTF names a shared library with `int validate_utf8(const char *, size_t)`, a validator
of simdutf that was forced to AVX2 ("haswell"). Without it, and without wsaccel, the lines that
need them are left out by name.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator

from bench.bench_mask import KEY, size_name
from bench.interleave import Row, Sampler, interleave, row, table, timed
from bench.native import Buffers, library, loop, other, use_level
from wsfast import mask, utf8

__all__ = ["main", "rows"]

KIB = 1024
SKEW = 6

#: Kind of text, and what it repeats: one, two, three and four bytes a character, and all of them.
TEXTS = {
    "ASCII": "The quick brown fox. ",
    "2 bytes": "Съешь же ещё этих",
    "3 bytes": "色は匂へど散りぬるを",
    "4 bytes": "😀🎉🚀🦊",
    "mixed": "naïve 色 😀 text, ",
}
SIZES = (4 * KIB, 64 * KIB, 1024 * KIB)


def text(kind: str, size: int) -> bytes:
    """Valid UTF-8 of exactly that size."""
    unit = TEXTS[kind].encode()
    whole = (unit * (size // len(unit) + 1))[:size].decode(errors="ignore").encode()
    return whole + b"." * (size - len(whole))


def level_for(kernels: ctypes.PyDLL) -> str:
    """The level that the targets speak of, or the next best that this machine has."""
    return next(name for name in ("avx2", "neon", "sse2", "serial") if use_level(kernels, name))


def against_simdutf(kernels: ctypes.PyDLL, level: str) -> Iterator[Row]:
    """How many times as fast."""
    path = os.environ.get("WSFAST_SIMDUTF")
    if not path:
        print("WSFAST_SIMDUTF is not set: simdutf is left out")
        return
    for kind in TEXTS:
        for size in SIZES:
            buffers = Buffers(text(kind, size), skew=SKEW)
            samplers = {
                "simdutf": other(kernels, path, "validate_utf8", buffers),
                "ours": loop(kernels, "validate", buffers, level),
            }
            name = f"simdutf / validate, {level}, {kind}, {size_name(size)}"
            target = ">= 1.2" if kind == "ASCII" else ">= 1.1"
            yield row(name, interleave(samplers), "simdutf", "ours", target)


def against_wsaccel(kernels: ctypes.PyDLL, level: str) -> Iterator[Row]:
    """How many times as fast as its table-driven validator."""
    if importlib.util.find_spec("wsaccel") is None:
        print("wsaccel is not installed: left out")
        return
    validator = importlib.import_module("wsaccel.utf8validator").Utf8Validator
    for kind in list(TEXTS)[1:]:
        data = text(kind, 64 * KIB)

        def validate(data: bytes) -> bool:
            return bool(validator().validate(data)[1])

        if not validate(data) or not utf8.is_valid_utf8(data) or validate(data[:-1] + b"\xff"):
            raise RuntimeError("wsaccel and wsfast disagree")
        samplers = {
            "wsaccel": timed(validate, data),
            "ours": loop(kernels, "validate", Buffers(data, skew=SKEW), level),
        }
        name = f"wsaccel / validate, {level}, {kind}, 64 KiB"
        yield row(name, interleave(samplers), "wsaccel", "ours", ">= 20")


def in_pieces(kernels: ctypes.PyDLL, level: str) -> Iterator[Row]:
    """Speed in pieces of 4 KiB, most of which end inside a sequence, as a part of the whole's."""
    for kind in TEXTS:
        buffers = Buffers(text(kind, 64 * KIB), skew=SKEW)
        samplers = {
            "whole": loop(kernels, "validate", buffers, level),
            "pieces": loop(kernels, "feed", buffers, level),
            "unmask": loop(kernels, "unmask_utf8", buffers, level),
        }
        samples = interleave(samplers, seconds=0.5)
        target = "" if kind == "ASCII" else ">= 0.9"
        name = f"4 KiB pieces / whole, {level}, {kind}, 64 KiB"
        yield row(name, samples, "whole", "pieces", target)
        yield row(f"unmask + validate / validate, {level}, {kind}", samples, "whole", "unmask", "")


def to_str(kernels: ctypes.PyDLL, level: str) -> Iterator[Row]:
    """Masked ASCII straight into a str, beside unmasking and then decoding."""
    for size, target in ((125, ""), (KIB, ">= 2.5"), (4 * KIB, ">= 3"), (16 * KIB, ">= 3")) + (
        (64 * KIB, ">= 3"),
    ):
        masked = mask.apply_mask(text("ASCII", size), KEY)
        buffers = Buffers(masked, skew=SKEW)
        kernels.check_text.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        if not kernels.check_text(buffers.dst, buffers.src, size):
            raise RuntimeError("the two ways to a str disagree")
        samplers: dict[str, Sampler] = {
            "decoded": loop(kernels, "decoded", buffers, level),
            "straight": loop(kernels, "straight", buffers, level),
        }
        name = f"unmask + decode / to str, {level}, {size_name(size)}"
        yield row(name, interleave(samplers), "decoded", "straight", target)


def rows() -> Iterator[Row]:
    """The lines of the table, one by one as they are measured."""
    kernels = library()
    level = level_for(kernels)
    for part in (against_simdutf, against_wsaccel, in_pieces, to_str):
        yield from part(kernels, level)
    if use_level(kernels, "avx512"):
        for part in (in_pieces, to_str):
            for line in part(kernels, "avx512"):
                yield line._replace(target="")


def main() -> int:
    """Measure and print; 0 if every target is met."""
    return 0 if table("UTF-8", rows()) else 1


if __name__ == "__main__":
    sys.exit(main())
