"""python -m bench [NAME ...]: the micro-benchmarks, one table each, with targets.

Without names all of them run: bench_mask, bench_utf8, bench_frame and so on. The servers side by
side are `make peers`, the 40,000 connections `make scale`.
"""

from __future__ import annotations

import importlib
import platform
import sys
from pathlib import Path

__all__ = ["main"]

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))


def main(names: list[str]) -> int:
    """Run the named benchmarks; 0 if every target is met, 1 if not, 2 for an unknown name."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 2
    print(f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}")
    missed = [name for name in names or NAMES if importlib.import_module(f"bench.{name}").main()]
    if missed:
        print(f"\ntargets missed in {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
