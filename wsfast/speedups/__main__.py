"""`python -m wsfast.speedups`: status, bench, selftest, and run."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import random
import sys
import time
from collections.abc import Sequence

from . import SpeedupsError, install, registry, status
from .guard import version_of
from .measure import as_table as rows_as_table
from .measure import measure
from .report import as_json, as_table
from .run import run
from .target import LEVELS

EPILOG = """examples:
  python -m wsfast.speedups status
  python -m wsfast.speedups run uvicorn app:app --workers 4
  python -m wsfast.speedups run --only wsproto -m pytest
  python -m wsfast.speedups bench websockets
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m wsfast.speedups",
        description="Speeds up the WebSocket libraries of this environment.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    said = "what is replaced in each installed library, or why nothing is"
    each = commands.add_parser("status", help=said, description=f"Says {said}.")
    each.add_argument("--json", action="store_true", help="an array of objects")
    each.add_argument("--no-import", action="store_true", help="import no library for it")
    each.add_argument("--level", choices=LEVELS, help="how deep (default: frames)")
    each.add_argument("libraries", nargs="*", help="names as on the package index (default: all)")
    said = "time each library's own calls with and without"
    each = commands.add_parser("bench", help=said, description=said)
    each.add_argument("--rounds", type=int, default=11, help="turns of each state (default: 11)")
    each.add_argument("libraries", nargs="*", help="names as on the package index (default: all)")
    said = "compare replacements and originals on random inputs"
    each = commands.add_parser("selftest", help=said, description=said)
    each.add_argument("--seconds", type=float, default=1, help="for each (default: 1)")
    each.add_argument("--seed", type=int, help="to repeat a run (default: a new one)")
    each.add_argument("--level", choices=LEVELS, help="how deep (default: both, in turn)")
    each.add_argument("libraries", nargs="*", help="names as on the package index (default: all)")
    said = "run a program with the speedups in, and in every Python that it starts"
    each = commands.add_parser("run", help=said, description=said)
    each.add_argument("--level", choices=LEVELS, help="how deep (default: frames)")
    each.add_argument("--only", default="", help="libraries, with commas (default: all)")
    each.add_argument("words", nargs=argparse.REMAINDER, help="-m module, script.py or a program")
    return top


def import_installed(names: Sequence[str]) -> None:
    """Import what the parts of every installed library wait for; what fails stays pending."""
    for report in status(*names):
        library = registry.library(report.library)
        for part in library.target.parts if version_of(library.target) else ():
            with contextlib.suppress(ImportError):
                importlib.import_module(part.trigger)


def show_status(options: argparse.Namespace) -> int:
    install(*options.libraries, level=options.level)
    if not options.no_import:
        import_installed(options.libraries)
    reports = status(*options.libraries)
    print(as_json(reports) if options.json else as_table(reports))
    return 0


def show_bench(options: argparse.Namespace) -> int:
    rows = []
    for report in status(*options.libraries):
        if report.version:
            rows += measure(registry.library(report.library), rounds=options.rounds)
    print(rows_as_table(rows))
    return 0


def show_selftest(options: argparse.Namespace) -> int:
    """Returns 0 if every replacement agreed, 1 if one did not."""
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    failed = 0
    for level in [options.level] if options.level else LEVELS:
        install(*options.libraries, level=level)
        import_installed(options.libraries)
        for report in status(*options.libraries):
            if report.state == "active":
                failed += not selftest_one(report.library, level, seed, options.seconds)
            elif report.version:
                print(f"{report.library:18} {level:8} {report.state}: {report.note}")
    return 1 if failed else 0


def selftest_one(name: str, level: str, seed: int, seconds: float) -> bool:
    """Compare for that long; whether all agreed."""
    library = registry.library(name)
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            library.selftest(random.Random(f"{seed} {rounds}"))
        except Exception as error:
            print(f"{name:18} {level:8} round {rounds}: {type(error).__name__}: {error}")
            return False
        rounds += 1
    print(f"{name:18} {level:8} {rounds} rounds agree", flush=True)
    return True


def start_program(options: argparse.Namespace) -> int:
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise ValueError("run needs a program: -m module, script.py or a name on PATH")
    run(words, [each for each in (options.level, *options.only.split(",")) if each])


COMMANDS = {
    "status": show_status,
    "bench": show_bench,
    "selftest": show_selftest,
    "run": start_program,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2 for a wrong command line."""
    options = parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except (ValueError, SpeedupsError) as error:
        print(f"wsfast.speedups: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
