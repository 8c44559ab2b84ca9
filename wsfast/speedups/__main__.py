"""`python -m wsfast.speedups`: status, bench, selftest, and run."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

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
    turns = "turns of each state (default: 11)"
    each.add_argument("--rounds", type=at_least_one, default=11, help=turns)
    each.add_argument("libraries", nargs="*", help="names as on the package index (default: all)")
    said = "compare replacements and originals on random inputs"
    each = commands.add_parser("selftest", help=said, description=said)
    each.add_argument("--seconds", type=positive, default=1, help="for each (default: 1)")
    each.add_argument(
        "--jobs", type=at_least_one, default=1, help="processes at once (default: 1)"
    )
    each.add_argument("--seed", type=int, help="to repeat a run (default: a new one)")
    each.add_argument("--level", choices=LEVELS, help="how deep (default: both, in turn)")
    each.add_argument("libraries", nargs="*", help="names as on the package index (default: all)")
    said = "run a program with the speedups in, and in every Python that it starts"
    each = commands.add_parser("run", help=said, description=said, allow_abbrev=False)
    each.add_argument("--level", choices=LEVELS, help="how deep (default: frames)")
    each.add_argument("--only", default="", help="libraries, with commas (default: all)")
    said = "-m module, script.py or a program, and its arguments"
    each.add_argument("words", nargs="*", metavar="word", help=said)
    return top


def own_words(arguments: Sequence[str]) -> int:
    """How many words are ours: those of the program that `run` starts are not looked at."""
    place = len(arguments)
    if arguments[:1] == ["run"]:
        place = 1
        while place < len(arguments) and arguments[place].startswith(("--", "-h")):
            if arguments[place] == "--":
                break
            place += 2 if arguments[place] in ("--level", "--only") else 1
    return place


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def import_installed(names: Sequence[str]) -> None:
    """Import what the parts of every installed library wait for; what fails stays pending."""
    for report in status(*names):
        library = registry.library(report.library)
        for part in library.target.parts if version_of(library.target) else ():
            with contextlib.suppress(Exception):
                importlib.import_module(part.trigger)


def installed_ones(names: Sequence[str]) -> list[str]:
    """The named libraries; without names those that are installed.

    Raises:
        ValueError: a named one is not installed.
    """
    reports = status(*names)
    for each in reports:
        if names and not each.version:
            raise ValueError(f"{each.library} is not installed")
    return [each.library for each in reports if each.version]


def show_status(options: argparse.Namespace) -> int:
    install(*options.libraries, level=options.level)
    if not options.no_import:
        import_installed(options.libraries)
    reports = status(*options.libraries)
    print(as_json(reports) if options.json else as_table(reports))
    return 0


def show_bench(options: argparse.Namespace) -> int:
    rows = []
    for name in installed_ones(options.libraries):
        try:
            rows += measure(registry.library(name), rounds=options.rounds)
        except ImportError as error:
            print(f"{name} cannot be imported: {error}", file=sys.stderr)
    print(rows_as_table(rows))
    return 0


def show_selftest(options: argparse.Namespace) -> int:
    """Returns 0 if every replacement agreed, 1 if one did not or was refused."""
    names = installed_ones(options.libraries)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    if options.jobs > 1:
        return selftest_apart(names, seed, options)
    failed = 0
    for level in [options.level] if options.level else LEVELS:
        install(*options.libraries, level=level)
        import_installed(names)
        for report in status(*names):
            for refusal in registry.library(report.library).refusals:
                failed += 1
                print(f"{report.library:18} {level:8} refused: {refusal}")
            if report.state == "active":
                failed += not selftest_one(report.library, level, seed, options.seconds)
            elif report.state != "refused":
                print(f"{report.library:18} {level:8} {report.state}: {report.note}")
    return 1 if failed else 0


def selftest_apart(names: Sequence[str], seed: int, options: argparse.Namespace) -> int:
    """Compare each library in a process of its own, so many at once; the highest exit status."""
    words = ["--seconds", str(options.seconds), "--seed", str(seed)]
    words += ["--level", options.level] if options.level else []

    def run_one(name: str) -> int:
        command = [sys.executable, "-m", "wsfast.speedups", "selftest", *words, name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print("".join(line for line in done.stdout.splitlines(True)[1:]), end="", flush=True)
        if done.returncode < 0:
            print(f"{name:18} ended by signal {-done.returncode}", flush=True)
        return abs(done.returncode)

    with ThreadPoolExecutor(options.jobs) as pool:
        return max(pool.map(run_one, names), default=0)


def selftest_one(name: str, level: str, seed: int, seconds: float) -> bool:
    """Compare for that long, once at least; whether all agreed."""
    library = registry.library(name)
    end, rounds = time.monotonic() + seconds, 0
    while not rounds or time.monotonic() < end:
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
    words = sys.argv[1:] if arguments is None else list(arguments)
    place = own_words(words)
    options = parser().parse_args(words[:place])
    if words[place:]:
        options.words = words[place:]
    try:
        return COMMANDS[options.command](options)
    except (ValueError, SpeedupsError) as error:
        print(f"wsfast.speedups: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
