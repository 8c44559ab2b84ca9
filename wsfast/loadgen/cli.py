"""The entry of wsfast-bench: says what to install when an extra is missing."""

from __future__ import annotations

import importlib
import sys

__all__ = ["main"]

#: The packages of the extra `bench`, by the names they are imported by.
EXTRAS = ("click", "hdrh", "numpy", "prometheus_client", "rich")


def main() -> None:
    """Run wsfast-bench with the arguments of the process; exits.

    Raises:
        SystemExit: always; 1 if a package of the extra is missing.
    """
    for name in EXTRAS:  # some are used late in a run: missed before it
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            print(
                f"wsfast-bench needs {name}, which is not installed: pip install 'wsfast[bench]'",
                file=sys.stderr,
            )
            sys.exit(1)
    from wsfast.loadgen.program import program

    program.main(prog_name="wsfast-bench")
