"""What the judges record of a run, and how two runs are compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from beside import beside

HERE = Path(__file__).resolve().parent

#: Without the other plugins of this environment, which cost more than the tests.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(HERE / "plugin"),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}

SUITE = """
import pytest

@pytest.fixture
def broken():
    raise OSError

@pytest.fixture
def breaking():
    yield
    raise OSError

def test_passes(): pass
def test_fails(): assert False
def test_error(broken): pass
def test_error_after(breaking): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_xfails(): assert False
@pytest.mark.xfail
def test_xpasses(): pass
@pytest.mark.parametrize("size", [1, 2])
def test_sizes(size): assert size == 1
"""

OUTCOMES = {
    "test_passes": "passed",
    "test_fails": "failed",
    "test_error": "error",
    "test_error_after": "error",
    "test_skipped": "skipped",
    "test_xfails": "xfailed",
    "test_xpasses": "xpassed",
    "test_sizes[1]": "passed",
    "test_sizes[2]": "failed",
}


@pytest.fixture
def outcomes() -> Iterator[ModuleType]:
    with beside(HERE, "outcomes") as module:
        yield module


def run_suite(directory: Path, only: list[str] | None = None, **variables: str) -> Path:
    """Run pytest on what is there, as a judge does; returns the record."""
    record = directory / "record"
    record.unlink(missing_ok=True)
    (directory / "pytest.ini").write_text("[pytest]\n")
    environment = {**ENVIRONMENT, **variables, "JUDGE_RECORD": str(record)}
    if only is not None:
        (directory / "only").write_text(json.dumps(only))
        environment["JUDGE_ONLY"] = str(directory / "only")
    command = [sys.executable, "-m", "pytest", "-p", "judge_recorder", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, "--continue-on-collection-errors"],
        cwd=directory,
        env=environment,
        capture_output=True,
        timeout=120,
    )
    return record


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a suite with one test of every outcome."""
    directory = tmp_path_factory.mktemp("suite")
    (directory / "test_all.py").write_text(SUITE)
    return directory


def test_every_outcome_is_recorded(outcomes: ModuleType, suite: Path) -> None:
    run = outcomes.read_record(run_suite(suite))
    assert run.outcomes == {f"test_all.py::{test}": each for test, each in OUTCOMES.items()}
    assert run.pid > 0
    assert run.problem == ""


def test_only_some_are_run(outcomes: ModuleType, suite: Path) -> None:
    run = outcomes.read_record(run_suite(suite, ["test_all.py::test_sizes[2]"]))
    assert run.outcomes == {"test_all.py::test_sizes[2]": "failed"}


def test_a_module_that_cannot_be_imported_is_an_outcome(
    outcomes: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "test_good.py").write_text("def test_one(): pass\n")
    (tmp_path / "test_bad.py").write_text("import no_such_module\n")
    (tmp_path / "test_other.py").write_text("import pytest\npytest.importorskip('no_such')\n")
    run = outcomes.read_record(run_suite(tmp_path))
    assert run.outcomes == {
        "test_good.py::test_one": "passed",
        "test_bad.py": "error",
        "test_other.py": "skipped",
    }


def test_a_subtest_that_fails_fails_its_test(outcomes: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_sub.py").write_text(
        "import unittest\n"
        "class Sizes(unittest.TestCase):\n"
        "    def test_all(self):\n"
        "        for size in (1, 2):\n"
        "            with self.subTest(size=size):\n"
        "                self.assertEqual(size, 1)\n"
    )
    run = outcomes.read_record(run_suite(tmp_path))
    assert run.outcomes == {"test_sub.py::Sizes::test_all": "failed"}


def test_modules_outside_of_the_directory_keep_their_names(
    outcomes: ModuleType, tmp_path: Path
) -> None:
    """Tests of one name in two modules of an installed library are two tests."""
    package = tmp_path / "site-packages" / "library"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for each in ("test_a.py", "test_b.py"):
        (package / each).write_text("def test_one(): pass\n")
    work = tmp_path / "work"
    work.mkdir()
    (work / "pytest.ini").write_text("[pytest]\n")
    environment = {
        **ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join([str(HERE / "plugin"), str(package.parent)]),
        "JUDGE_RECORD": str(work / "record"),
    }
    command = [sys.executable, "-m", "pytest", "-p", "judge_recorder", "--pyargs", "library"]
    subprocess.run(command, cwd=work, env=environment, capture_output=True, timeout=120)
    found = outcomes.read_record(work / "record").outcomes
    assert set(found) == {"library/test_a.py::test_one", "library/test_b.py::test_one"}


def test_names_lead_home_and_a_logger_is_silenced(outcomes: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_names.py").write_text(
        "import logging, socket\n"
        "def test_name():\n"
        "    assert socket.getaddrinfo('no.such.example', 80)[0][4] == ('127.0.0.1', 80)\n"
        "def test_quiet():\n"
        "    assert not logging.getLogger('some.access').isEnabledFor(logging.ERROR)\n"
    )
    record = run_suite(tmp_path, JUDGE_NAMES="no.such.example", JUDGE_QUIET="some.access")
    run = outcomes.read_record(record)
    assert set(run.outcomes.values()) == {"passed"}


def test_what_wsfast_refused_is_recorded(outcomes: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_refusal.py").write_text(
        "from wsfast.speedups import registry\n"
        "def test_one():\n"
        "    registry.library('wsproto')._problems['a'] = ('refused', 'a is gone')\n"
        "    registry.library('wsproto')._problems['b'] = ('skipped', 'nothing to gain')\n"
    )
    run = outcomes.read_record(run_suite(tmp_path))
    assert run.refused == ("wsproto: a is gone",)
    assert run.outcomes == {"test_refusal.py::test_one": "passed"}


@pytest.mark.parametrize(
    "reports",
    [(), ("skipped",), ("skipped", "error")],
    ids=["nothing", "all skipped", "nothing but errors"],
)
def test_a_run_in_which_no_test_ran_is_a_problem(
    outcomes: ModuleType, tmp_path: Path, reports: tuple[str, ...]
) -> None:
    record = tmp_path / "record"
    lines = [["pid", "7"], *([f"test_{n}", each] for n, each in enumerate(reports))]
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert outcomes.read_record(record).problem == "no test ran"


def test_a_record_that_was_never_written_is_a_problem(
    outcomes: ModuleType, tmp_path: Path
) -> None:
    run = outcomes.read_record(tmp_path / "record")
    assert (run.outcomes, run.problem) == ({}, "no test ran")


@pytest.mark.parametrize(
    ("reports", "worst"),
    [
        (("passed", "error"), "error"),
        (("failed", "error"), "error"),
        (("failed", "passed"), "failed"),
        (("passed", "skipped"), "skipped"),
    ],
)
def test_the_worst_report_counts(
    outcomes: ModuleType, tmp_path: Path, reports: tuple[str, ...], worst: str
) -> None:
    record = tmp_path / "record"
    record.write_text("".join(json.dumps(["test", each]) + "\n" for each in reports))
    assert outcomes.read_record(record).outcomes == {"test": worst}


def test_differences_are_named(outcomes: ModuleType) -> None:
    plain = {"same": "passed", "worse": "passed", "better": "failed", "gone": "passed"}
    patched = {"same": "passed", "worse": "failed", "better": "passed", "new": "skipped"}
    assert outcomes.differences(plain, patched) == {
        "worse": ("passed", "failed"),
        "better": ("failed", "passed"),
        "gone": ("passed", "missing"),
        "new": ("missing", "skipped"),
    }
    assert outcomes.differences(plain, plain) == {}


def test_a_test_that_once_came_out_the_same_is_flaky(outcomes: ModuleType) -> None:
    plain = [{"a": "passed", "b": "passed", "c": "passed"}, {"b": "failed", "c": "passed"}]
    patched = [{"a": "failed", "b": "failed", "c": "failed"}, {"c": "error"}]
    assert outcomes.always_different("abc", plain, patched) == ["c"]
    assert outcomes.always_different("ab", plain[:1], patched[:1]) == ["a", "b"]


def test_counts_are_told(outcomes: ModuleType) -> None:
    assert outcomes.count({"a": "passed", "b": "failed", "c": "passed"}) == "2 passed, 1 failed"
    assert outcomes.count({}) == "none"
