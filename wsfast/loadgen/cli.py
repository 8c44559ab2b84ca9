"""The entry of wsfast-bench: says what to install when an extra is missing."""

from __future__ import annotations

import importlib
import sys

__all__ = ["main"]

#: The packages of the extra `bench`, by the names they are imported by.
EXTRAS = frozenset({"click", "hdrh", "numpy", "rich"})


def main() -> None:
    """Run wsfast-bench with the arguments of the process; exits.

    Raises:
        SystemExit: always; 1 if a package of the extra is missing.
    """
    try:
        importlib.import_module("hdrh")  # used at the end of a run: missed before it
        from wsfast.loadgen.command import bench
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRAS:
            raise
        print(
            f"wsfast-bench needs {error.name}, which is not installed: "
            "pip install 'wsfast[bench]'",
            file=sys.stderr,
        )
        sys.exit(1)
    bench.main(prog_name="wsfast-bench")
