"""What moved in one library since it was tested, by name: the canary's child process.

    python tests/judge/probe.py LIBRARY

Prints a line of JSON. A process for each library, for some of them change the interpreter that
imports them.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import random
import sys
from collections.abc import Iterator
from typing import Any

from wsfast.speedups import registry
from wsfast.speedups.guard import Refused, find, judge, version_of, version_problem
from wsfast.speedups.library import Library, Wish
from wsfast.speedups.target import Part, Slot

__all__ = ["Finding", "main", "probe"]

#: How often replacements and originals are compared.
ROUNDS = 100


@dataclasses.dataclass
class Finding:
    """What is to say of one library.

    Attributes:
        library: its name on the package index.
        version: that is installed; "" if none is.
        tested: "10.0 <= version < 18".
        untested: whether that version lies outside.
        state: as `status()` has it, untested versions allowed.
        level: as deep as it is replaced.
        moved: what is not as it was tested.
        note: what to know, and is as it was.
    """

    library: str
    version: str = ""
    tested: str = ""
    untested: bool = False
    state: str = "not-installed"
    level: str = ""
    moved: list[str] = dataclasses.field(default_factory=list)
    note: str = ""


def probe(library: Library) -> Finding:
    """Look at every slot by itself; then fill them, and compare replacements with originals."""
    target = library.target
    finding = Finding(target.library, tested=f"{target.tested[0]} <= version < {target.tested[1]}")
    version = version_of(target)
    if version is None:
        return finding
    finding.version = version
    finding.untested = version_problem(target, version) is not None
    for part in target.parts:
        finding.moved += part_problems(part)
    library.ask(Wish(allow_untested=True))
    report = library.report()
    finding.state, finding.level, finding.note = report.state, report.level, report.note
    finding.moved = finding.moved or library.refusals
    if report.state == "active":
        finding.moved += selftest_problems(library)
    return finding


def part_problems(part: Part) -> Iterator[str]:
    """What moved in one part; nothing if it cannot be patched in this installation anyway."""
    try:
        importlib.import_module(part.trigger)
        slots = () if part.unpatchable() else part.slots()
    except Exception as error:
        yield f"{part.trigger}: {type(error).__name__}: {error}"
        return
    for slot in slots:
        yield from slot_problems(slot)


def slot_problems(slot: Slot) -> Iterator[str]:
    """A slot that is missing, parameters that changed, a source that nobody tested."""
    try:
        original = find(slot.where)[2]
    except Refused as refusal:
        if not slot.optional:
            yield str(refusal)
        return
    for each in (slot._replace(fingerprints=frozenset()), slot._replace(parameters=None)):
        try:
            judge(each, original)
        except Refused as refusal:
            yield str(refusal)


def selftest_problems(library: Library) -> Iterator[str]:
    """The first self-test that does not agree."""
    for seed in range(ROUNDS):
        try:
            library.selftest(random.Random(seed))
        except Exception as error:
            yield f"self-test {seed}: {type(error).__name__}: {error}"
            return


def main(words: list[str]) -> int:
    """Returns 0: what was found is printed."""
    finding: dict[str, Any] = dataclasses.asdict(probe(registry.library(words[0])))
    print(json.dumps(finding))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
