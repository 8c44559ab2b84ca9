"""make speedups-judge: the libraries' own tests, without wsfast's speedups and with them.

    python tests/judge/run.py [LIBRARY ...] [--level frames|kernels|both|none] [--list]

Each library's tests come from its released sdist and run in an environment of its own, below
build/judge. What fails without wsfast is listed by name and is no matter; a test that comes out
otherwise with wsfast is. Such tests run again, alone, before they count, for some hang on timing.
LIBRARY==VERSION judges another release than the one in the table.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from judging import NoCheckout, Verdict, judge, set_up  # noqa: E402
from libraries import JUDGES, Judge  # noqa: E402
from outcomes import BAD, count  # noqa: E402
from venvs import BUILD, Unavailable, build_wheel  # noqa: E402

__all__ = ["main", "selected"]

LEVELS = {
    "frames": ("frames",),
    "kernels": ("kernels",),
    "both": ("kernels", "frames"),
    "none": (),
}
MAX_LINES = 40


def selected(words: Sequence[str]) -> list[Judge]:
    """The rows of the table for names, or for NAME==VERSION; all rows for none.

    Raises:
        ValueError: there is no such row.
    """
    found = []
    for word in words:
        name, _, version = word.partition("==")
        rows = [each for each in JUDGES if name in (each.name, each.package)]
        if not rows:
            raise ValueError(f"no judge is named {name}: {', '.join(row.name for row in JUDGES)}")
        found += [_at_version(row, version) if version else row for row in rows]
    return found if words else list(JUDGES)


def _at_version(row: Judge, version: str) -> Judge:
    """Its own sdist is another one then, whose hash nobody wrote down."""
    if version == row.version:
        return row
    return row._replace(version=version, sha256=row.sha256 if row.tests else "")


class Bench:
    """The judges at work: prints each when it is done.

    Args:
        wheel: of wsfast.
        levels: at which each is judged.
    """

    def __init__(self, wheel: Path, levels: Sequence[str]) -> None:
        self.wheel = wheel
        self.levels = levels
        self.failed: list[str] = []
        self.skipped: list[str] = []
        self._printing = threading.Lock()
        self._environments: dict[str, threading.Lock] = {}

    def run(self, each: Judge) -> None:
        """Judge one and print it; whatever goes wrong is a failure of this one only."""
        try:
            with self._printing:
                environment = self._environments.setdefault(each.package, threading.Lock())
            with environment:
                setting = set_up(each, self.wheel)
            verdicts = judge(each, setting, self.levels)
        except NoCheckout as reason:
            self._tell(each, f"SKIPPED: {reason}", self.skipped)
        except Unavailable as reason:
            self._tell(each, f"FAILED: {reason}", self.failed)
        except Exception as error:
            self._tell(each, f"FAILED: {type(error).__name__}: {error}", self.failed)
        else:
            with self._printing:
                self._print(each, verdicts)

    def _tell(self, each: Judge, what: str, names: list[str]) -> None:
        with self._printing:
            names.append(each.name)
            print(f"{each.name:20} {each.version:9} {what}", flush=True)

    def _print(self, each: Judge, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            said, bad = summary(verdict)
            if bad and each.name not in self.failed:
                self.failed.append(each.name)
            level = verdict.level or "plain"
            print(
                f"{each.name:20} {each.version:9} {level:8} {verdict.seconds:5.0f} s  {said}",
                flush=True,
            )
            for line in details(verdict):
                print(f"    {line}", flush=True)


def summary(verdict: Verdict) -> tuple[str, bool]:
    """One line for a verdict, and whether it is a failure."""
    said = count(verdict.run.outcomes)
    if verdict.problem:
        return f"{said}: FAILED: {verdict.problem}", True
    if not verdict.level:
        return said, False
    if not verdict.active:
        return "not run: nothing to replace at this level", False
    same = f"{len(verdict.different)} DIFFERENT" if verdict.different else "the same"
    return f"{said}: {same} ({verdict.active})", bool(verdict.different)


def details(verdict: Verdict) -> list[str]:
    """What is told by name."""
    lines = []
    if not verdict.level:
        bad = {test: each for test, each in verdict.run.outcomes.items() if each in BAD}
        lines += [f"without wsfast {each}: {test}" for test, each in sorted(bad.items())]
    lines += [f"DIFFERENT {told}: {test}" for test, told in sorted(verdict.different.items())]
    lines += [f"flaky, the same when run alone: {test}" for test in sorted(verdict.flaky)]
    more = len(lines) - MAX_LINES
    return lines[:MAX_LINES] + ([f"and {more} more"] if more > 0 else [])


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("libraries", nargs="*", help="names, or NAME==VERSION (default: all)")
    parser.add_argument("--level", choices=LEVELS, default="both", help="default: both")
    parser.add_argument("--list", action="store_true", help="the table, and nothing else")
    parser.add_argument("--jobs", type=int, default=2, help="libraries side by side (default: 2)")
    parser.add_argument("--wheel", type=Path, help="of wsfast (default: built from this checkout)")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Returns 0 if everything came out the same, 1 if not, 2 for a wrong command line."""
    options = arguments().parse_args(words)
    try:
        judges = selected(options.libraries)
    except ValueError as error:
        print(f"judge: {error}", file=sys.stderr)
        return 2
    if options.list:
        for each in judges:
            print(f"{each.name:20} {each.version:9} {each.arguments}")
        return 0
    start = time.monotonic()
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        wheel = (options.wheel or build_wheel()).resolve()
    except Unavailable as reason:
        print(f"judge: {reason}", file=sys.stderr)
        return 2
    bench = Bench(wheel, LEVELS[options.level])
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(bench.run, judges))
    for what, names in (("skipped", bench.skipped), ("failed", bench.failed)):
        print(f"{len(names)} {what}" + (f": {', '.join(names)}" if names else ""))
    print(f"{len(judges)} judges, {time.monotonic() - start:.0f} s")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
