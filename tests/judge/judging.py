"""One judge at work: a library's tests without wsfast, with it, and what came out otherwise."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from libraries import Judge
from outcomes import Outcomes, Run, always_different, differences, read_record
from venvs import BUILD, make_venv, run_tool, unpack_sdist

__all__ = ["NoCheckout", "Setting", "Verdict", "activity", "judge", "set_up"]

HERE = Path(__file__).resolve().parent

#: For every suite: its own addopts (coverage, parallel runs) stand in the way.
PYTEST = (
    *("-m", "pytest", "-q", "-p", "judge_recorder", "-p", "no:cacheprovider"),
    *("-o", "addopts=", "--continue-on-collection-errors"),
)

#: What `status()` says of a library without slots of a level.
NOTHING = "nothing to replace at level"

#: How often tests that came out otherwise are run again, alone.
AGAIN = 3


class NoCheckout(Exception):
    """The tests of a row are in its repository only, and nobody named a checkout."""


class Setting(NamedTuple):
    """Where a judge's tests run.

    Attributes:
        python: the interpreter of its environment.
        directory: where pytest starts.
        logs: where what it writes goes.
    """

    python: Path
    directory: Path
    logs: Path


class Verdict(NamedTuple):
    """What one level came to.

    Attributes:
        level: "" without wsfast, "kernels" or "frames".
        run: of all tests.
        seconds: that it took.
        active: what wsfast had replaced, for people; "" if there is nothing to replace at this
            level, and nothing was run.
        different: tests that came out otherwise in every run: "passed -> failed".
        flaky: tests that came out otherwise, and the same when they ran alone.
        problem: why the level is not judged at all; "" if it is.
    """

    level: str
    run: Run
    seconds: float
    active: str = ""
    different: Mapping[str, str] = {}
    flaky: Sequence[str] = ()
    problem: str = ""


def set_up(each: Judge, wheel: Path) -> Setting:
    """Make the environment, and get the tests.

    Raises:
        NoCheckout: nobody named one.
        Unavailable: one of them cannot be had.
    """
    home = BUILD / each.package / each.name
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    if each.checkout:
        if not os.environ.get(each.checkout):
            raise NoCheckout(f"{each.checkout} names no checkout with the tests")
        top = Path(os.environ[each.checkout]).resolve()
    else:
        sdist = f"{each.package}=={each.tests or each.version}"
        top = unpack_sdist(sdist, each.sha256, home, each.amend)
    requirements = [f"{each.package}=={each.version}", *each.requirements]
    python = make_venv(BUILD / each.package / "venv", requirements, wheel)
    return Setting(python, top / each.directory, logs)


def run_tests(each: Judge, setting: Setting, level: str, name: str, only: Sequence[str]) -> Run:
    """Run the tests, or only some, without wsfast or at a level."""
    files = {kind: setting.logs / f"{name}.{kind}" for kind in ("record", "report", "only", "log")}
    for path in files.values():
        path.unlink(missing_ok=True)
    ours = ("WSFAST_", "PYTEST_", "PYTHONPATH")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    environment |= {"PYTHONPATH": str(HERE / "plugin"), "JUDGE_RECORD": str(files["record"])}
    environment |= each.environment
    if only:
        files["only"].write_text(json.dumps(only), encoding="utf-8")
        environment["JUDGE_ONLY"] = str(files["only"])
    command = [str(setting.python)]
    if level:
        environment["WSFAST_SPEEDUPS_REPORT"] = str(files["report"])
        command += ["-m", "wsfast.speedups", "run", "--level", level, "--"]
    command += [*PYTEST, *shlex.split(each.arguments)]
    problem = run_bounded(command, setting.directory, environment, files["log"], each.seconds)
    run = read_record(files["record"])
    return run._replace(problem=problem or run.problem)


def run_bounded(
    command: Sequence[str], directory: Path, environment: Any, log: Path, seconds: float
) -> str:
    """Run a program and everything that it starts; returns what is wrong with how it ended."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"not done in {seconds:.0f} s, see {log}"
    # pytest: 0 and 1 are ends, everything else is not.
    return "" if status in (0, 1) else f"pytest ended with {status}, see {log}"


def activity(report: Path, run: Run, libraries: Sequence[str]) -> tuple[str, str]:
    """What was replaced in the process that ran the tests: (for people, what is wrong with it).

    A library of which nothing is replaced at this level is no problem, but is told.
    """
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    mine = [each for each in map(json.loads, lines) if each["pid"] == run.pid]
    if not mine:
        return "", "the process that ran the tests left no report"
    states = {each["library"]: each for each in mine[-1]["libraries"]}
    told, wrong = [], list(run.refused)
    for library in libraries:
        state = states.get(library, {"state": "unknown", "note": "no such target"})
        said = f"{library} {state['state']}"
        if state["state"] == "active":
            told.append(f"{library}: {len(state['slots'])} replaced")
        elif NOTHING in state["note"]:
            told.append(f"{library}: nothing at this level")
        elif not run.refused:
            wrong.append(f"{said}: {state['note']}" if state["note"] else said)
    return ", ".join(told), "; ".join(wrong)


def judge(each: Judge, setting: Setting, levels: Sequence[str]) -> list[Verdict]:
    """Run everything: the first verdict is the one without wsfast."""
    start = time.monotonic()
    plain = run_tests(each, setting, "", "plain", ())
    verdicts = [Verdict("", plain, time.monotonic() - start, problem=plain.problem)]
    if not plain.problem:
        verdicts += [judge_level(each, setting, level, plain.outcomes) for level in levels]
    return verdicts


def replaces_anything(each: Judge, setting: Setting, level: str) -> bool:
    """Whether a run can show anything: some libraries have nothing to replace at a level."""
    command = [str(setting.python), "-m", "wsfast.speedups", "status", "--json", "--level", level]
    reports = json.loads(run_tool([*command, *each.patched], cwd=setting.logs))
    return any(NOTHING not in report["note"] for report in reports)


def judge_level(each: Judge, setting: Setting, level: str, plain: Outcomes) -> Verdict:
    """Run the tests at a level; those that came out otherwise again: alone, with and without."""
    if not replaces_anything(each, setting, level):
        return Verdict(level, Run({}), 0, "")
    start = time.monotonic()
    run = run_tests(each, setting, level, level, ())
    seconds = time.monotonic() - start
    report = setting.logs / f"{level}.report"
    active, wrong = activity(report, run, each.patched)
    if wrong or run.problem:
        return Verdict(level, run, seconds, active, problem=wrong or run.problem)
    found = differences(plain, run.outcomes)
    without, within = [plain], [run.outcomes]
    different = list(found)
    for number in range(AGAIN if found else 0):
        alone = f"{level}-again-{number}"
        without.append(run_tests(each, setting, "", f"{alone}-plain", different).outcomes)
        within.append(run_tests(each, setting, level, alone, different).outcomes)
        different = always_different(different, without, within)
        if not different:
            break
    flaky = [test for test in found if test not in different]
    told = {test: " -> ".join(found[test]) for test in different}
    return Verdict(level, run, seconds, active, told, flaky)
