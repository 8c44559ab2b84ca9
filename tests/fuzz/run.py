"""make fuzz: random streams against the oracles, and headers; failures as golden dialogues."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

import fuzz_policy  # noqa: E402
from fuzz_connection import ORACLES, check, fuzz, golden_case  # noqa: E402

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 if nothing was found, 1 if something was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="to repeat a run (default: a new one)")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    end = time.monotonic() + options.seconds / 2
    print(f"oracles: {', '.join(ORACLES)}; seed {seed}", flush=True)
    count, failed = fuzz(seed, lambda _: time.monotonic() >= end)
    print(f"{count} streams")
    if failed is not None:
        print(f"\n{check(failed)}\n\n{golden_case(failed)}")
        return 1
    end = time.monotonic() + options.seconds / 2
    count, problem = fuzz_policy.fuzz(seed, lambda _: time.monotonic() >= end)
    print(f"{count} headers")
    if problem:
        print(f"\n{problem}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
