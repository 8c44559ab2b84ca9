"""Headers and masks in a stream of small frames: python -m bench.bench_frame"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from bench.cython_module import load
from bench.interleave import Row, Sampler, interleave, row, table
from wsfast.frame import decode_header, encode_header
from wsfast.mask import apply_mask
from wsfast.scan import scan_frames

__all__ = ["main", "measure", "rows", "stream_of"]

#: About a read of 256 KiB: more than the branch predictor learns by heart.
FRAMES = 4096

#: Target of the issue, seconds a frame.
MAX_SECONDS = 20e-9

STREAMS = {"0 B": [0], "16 B": [16], "125 B": [125], "0-125 B": list(range(126))}


def stream_of(sizes: list[int]) -> bytes:
    """Masked binary frames as a client sends them, their sizes shuffled."""
    choose = random.Random(1)
    found = bytearray()
    for _ in range(FRAMES):
        size = choose.choice(sizes)
        key = choose.randbytes(4)
        found += encode_header(2, size, masking_key=key)
        found += apply_mask(choose.randbytes(size), key)
    return bytes(found)


def per_frame(run: Callable[[int], tuple[float, int]]) -> Sampler:
    """A sampler of seconds a frame, for a run(times) that returns (seconds, frames)."""

    def sample(n: int) -> float:
        times = n // FRAMES + 1
        seconds, frames = run(times)
        if frames != times * FRAMES:
            raise RuntimeError(f"{frames} frames of {times * FRAMES}")
        return seconds * n / frames

    return sample


def measure(seconds: float = 8.0) -> dict[str, list[float]]:
    """Seconds a frame, one figure a round; see table() for the names."""
    loops = load(Path(__file__).parent / "frame_loops.pyx")
    unmasker = loops.Unmasker()
    samplers: dict[str, Sampler] = {}
    for name, sizes in STREAMS.items():
        stream = stream_of(sizes)
        found = scan_frames(stream)
        assert len(found) == FRAMES
        assert found["payload_offset"][-1] + found["payload_length"][-1] == len(stream)
        assert decode_header(stream) is not None

        def walk(times: int, stream: bytes = stream) -> tuple[float, int]:
            return loops.walk(stream, times)  # type: ignore[no-any-return]

        def receive(times: int, stream: bytes = stream) -> tuple[float, int]:
            return unmasker.run(stream, times)  # type: ignore[no-any-return]

        samplers[f"header + unmask, {name}"] = per_frame(walk)
        samplers[f"all rules + unmask, {name}"] = per_frame(receive)
    return interleave(samplers, seconds=seconds)


def rows(samples: dict[str, list[float]]) -> list[Row]:
    """A line each, as a share of the 20 ns."""
    limited = {**samples, "20 ns": [MAX_SECONDS] * len(next(iter(samples.values())))}
    return [row(f"{name} / 20 ns (absolute)", limited, name, "20 ns", "<= 1") for name in samples]


def main() -> int:
    """Measure and print; 0 if every target is met."""
    samples = measure()
    for name, figures in samples.items():
        print(f"{name:56} {statistics.median(figures) * 1e9:8.1f} ns")
    return 0 if table("Frames of a stream", rows(samples)) else 1


if __name__ == "__main__":
    sys.exit(main())
