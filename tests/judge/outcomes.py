"""What came of the tests of a run, and where two runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["BAD", "Outcomes", "Run", "count", "differences", "read_record"]

#: Test to outcome.
Outcomes = Mapping[str, str]

#: The worst first: of several reports of one test the worst counts.
ORDER = ("error", "failed", "xpassed", "xfailed", "skipped", "passed")

#: Outcomes that a library's authors would not want.
BAD = frozenset({"error", "failed"})

#: The outcome of a test that one of two runs did not come to.
MISSING = "missing"


class Run(NamedTuple):
    """One run of a library's tests.

    Attributes:
        outcomes: test to outcome.
        pid: of the process that ran them.
        refused: what wsfast was asked to replace in it and did not.
        problem: why the run as a whole is worth nothing; "" if it is.
    """

    outcomes: Outcomes
    pid: int = 0
    refused: tuple[str, ...] = ()
    problem: str = ""


def read_record(path: Path) -> Run:
    """Read what `judge_recorder` wrote: a run in which no test passed or failed is a problem."""
    outcomes: dict[str, str] = {}
    pid = 0
    refused = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        test, outcome = json.loads(line)
        if test == "pid":
            pid = int(outcome)
        elif test == "refused":
            refused.append(outcome)
        else:
            outcomes[test] = min(outcome, outcomes.get(test, outcome), key=ORDER.index)
    ran = any(each not in ("skipped", "error") for each in outcomes.values())
    return Run(outcomes, pid, tuple(refused), "" if ran else "no test ran")


def differences(plain: Outcomes, patched: Outcomes) -> dict[str, tuple[str, str]]:
    """The tests that came out otherwise: (without wsfast, with it)."""
    both = {test: (plain.get(test, MISSING), patched.get(test, MISSING)) for test in plain}
    both |= {test: (MISSING, patched[test]) for test in patched if test not in plain}
    return {test: each for test, each in both.items() if each[0] != each[1]}


def always_different(
    tests: Iterable[str], plain: Iterable[Outcomes], patched: Iterable[Outcomes]
) -> list[str]:
    """Of several runs each: the tests that never came out patched as they did plain."""
    without, within = list(plain), list(patched)
    found = []
    for test in tests:
        seen = {each.get(test, MISSING) for each in without}
        if seen.isdisjoint(each.get(test, MISSING) for each in within):
            found.append(test)
    return found


def count(outcomes: Outcomes) -> str:
    """195 passed, 26 skipped."""
    values = list(outcomes.values())
    found = [(each, values.count(each)) for each in reversed(ORDER)]
    return ", ".join(f"{number} {each}" for each, number in found if number) or "none"
