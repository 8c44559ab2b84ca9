"""What is told about a library; and that what is told of every supported one is sound."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fake_library import MASK, Fake, fake_library
from wsfast.speedups import guard, registry
from wsfast.speedups.library import Library, Wish
from wsfast.speedups.registry import LIBRARIES
from wsfast.speedups.target import LEVELS, Part, Slot, Target, Workload


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


@pytest.fixture(params=LIBRARIES)
def target(request: pytest.FixtureRequest) -> Target:
    """What is told of each supported library."""
    return registry.library(request.param).target


def distribution(target: Target) -> None:
    """Skip a test of a library that is not installed."""
    if guard.version_of(target) is None:
        pytest.skip(f"{target.library} is not installed")


# --- what one need not tell ------------------------------------------------------------------


def test_what_need_not_be_told(fake: Fake) -> None:
    slot = Slot(where="a:b", make=len)
    assert (slot.level, slot.parameters, slot.fingerprints) == ("kernels", None, frozenset())
    assert not slot.optional
    part = Part(trigger="a", slots=list, selftest=lambda *arguments: None)
    assert part.unpatchable() is None
    assert fake.target().by_default
    assert Workload(name="parse", size=125, run=list).frames == 1


def test_the_deeper_level_comes_last() -> None:
    assert LEVELS == ("kernels", "frames")


def test_the_selftest_is_told_what_is_filled(fake: Fake) -> None:
    seen: list[Any] = []
    fake.load()
    original = fake.load().mask
    part = fake.part(
        slots=lambda: [fake.slot(MASK)], selftest=lambda *arguments: seen.append(arguments)
    )
    library = Library(fake.target(part))
    library.ask(Wish("kernels"))
    library.selftest(Random(5))
    library.release()
    assert [each[:2] for each in seen] == [({fake.where(MASK): original}, "kernels")] * 2
    assert all(isinstance(each[2], Random) for each in seen)
    assert seen[1][2].random() == Random(5).random()


# --- the supported libraries -----------------------------------------------------------------


def test_a_target_stands_in_the_module_of_its_name(target: Target) -> None:
    name = target.library.replace("-", "_")
    assert importlib.import_module(f"wsfast.speedups.{name}").TARGET is target


def test_the_tested_range_is_one(target: Target) -> None:
    oldest, first_untested = target.tested
    assert guard.version_problem(target, oldest) is None
    assert guard.version_problem(target, first_untested) is not None
    assert guard.version_problem(target, "0") is not None
    assert guard.version_problem(target, "99999") is not None


def test_every_part_waits_for_a_module_of_its_own(target: Target) -> None:
    triggers = [part.trigger for part in target.parts]
    assert triggers or target.modules is not None
    assert len(set(triggers)) == len(triggers)
    assert all(each.split(".")[0] == target.package.split(".")[0] for each in triggers)


def test_the_installed_version_is_a_tested_one(target: Target) -> None:
    distribution(target)
    assert guard.version_problem(target, guard.version_of(target) or "") is None


PARTS = """
import importlib, sys
import wsfast.speedups
from wsfast.speedups.guard import find
from wsfast.speedups.target import LEVELS

library = wsfast.speedups.registry.library(sys.argv[1])
before = set(sys.modules)
for part in library.target.parts:
    try:
        importlib.import_module(part.trigger)
    except ImportError as error:
        print("absent", part.trigger, error)
        continue
    if part.unpatchable():
        print("unpatchable", part.trigger, part.unpatchable())
        continue
    for slot in part.slots():
        assert slot.level in LEVELS, slot
        assert slot.optional or find(slot.where)[0] is not None, slot
        assert all(len(each) == 12 for each in slot.fingerprints), slot
        assert slot.level == "kernels" or slot.parameters is None or slot.fingerprints, slot
        print("slot", slot.where)
wsfast.speedups.install(sys.argv[1], strict=True)
(report,) = wsfast.speedups.status(sys.argv[1])
print("state", report.state, report.note)
wsfast.speedups.uninstall()
for where in report.slots:
    if ":" in where:
        owner, name, value = find(where)
        assert not hasattr(getattr(value, "__func__", value), "__wsfast__"), where
"""


@pytest.mark.slow
def test_every_slot_is_there_and_filled(target: Target) -> None:
    """In a process of its own: some libraries change the interpreter that imports them."""
    distribution(target)
    command = [sys.executable, "-W", "ignore", "-c", PARTS, target.library]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    if "unpatchable" not in done.stdout:
        assert "state active" in done.stdout, done.stdout


@pytest.mark.slow
def test_every_workload_runs(target: Target) -> None:
    distribution(target)
    code = (
        "import importlib, sys, wsfast.speedups\n"
        "target = wsfast.speedups.registry.library(sys.argv[1]).target\n"
        "[importlib.import_module(part.trigger) for part in target.parts]\n"
        "works = list(target.workloads())\n"
        "assert len({(each.name, each.size) for each in works}) == len(works)\n"
        "assert all(each.size >= 0 and each.frames >= 1 for each in works)\n"
        "[each.run() for each in works for _ in range(2)]\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, target.library]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


LOADED = """
import importlib, json, sys
import wsfast.speedups
if sys.argv[2] == "patched":
    wsfast.speedups.install(sys.argv[1])
for part in wsfast.speedups.registry.library(sys.argv[1]).target.parts:
    try:
        importlib.import_module(part.trigger)
    except ImportError:
        pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


@pytest.mark.slow
def test_nothing_is_imported_that_the_library_would_not(target: Target) -> None:
    distribution(target)
    packages = []
    for state in ("plain", "patched"):
        command = [sys.executable, "-W", "ignore", "-c", LOADED, target.library, state]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        packages.append(set(json.loads(done.stdout.splitlines()[-1])))
    foreign = packages[1] - packages[0] - set(sys.stdlib_module_names)
    assert not {name for name in foreign if "cython" not in name}
