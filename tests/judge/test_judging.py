"""The judges at work: on suites of our own, in this environment, without the network."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from beside import beside
from wsfast.speedups.registry import LIBRARIES

HERE = Path(__file__).resolve().parent

#: One test knows whether wsfast is in; one fails the first time, patched or not; one never does.
SUITE = """
import os
from pathlib import Path

PATCHED = "WSFAST_SPEEDUPS" in os.environ

def test_same(): pass
def test_fails_always(): assert False
def test_different(): assert not PATCHED
def test_flaky():
    mark = Path("patched-once")
    first = PATCHED and not mark.exists()
    if PATCHED:
        mark.touch()
    assert not first
"""


#: The plugins of this environment cost more than the tests above.
FAST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.fixture
def judging() -> Iterator[ModuleType]:
    with beside(HERE, "judging") as module:
        yield module


@pytest.fixture
def venvs(judging: ModuleType) -> Any:
    return sys.modules["venvs"]


@pytest.fixture
def program(judging: ModuleType) -> ModuleType:
    return importlib.import_module("run")


@pytest.fixture
def setting(judging: ModuleType, tmp_path: Path) -> Any:
    """This interpreter, and a directory with a suite."""
    (tmp_path / "logs").mkdir()
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "pytest.ini").write_text("[pytest]\n")
    (suite / "test_suite.py").write_text(SUITE)
    return judging.Setting(Path(sys.executable), suite, tmp_path / "logs")


def row(judging: ModuleType, **fields: Any) -> Any:
    """A row of the table."""
    common = {"name": "lib", "version": "1", "arguments": "test_suite.py", "environment": FAST}
    return judging.Judge(**{**common, **fields})


# --- a whole judge ---------------------------------------------------------------------------


@pytest.mark.slow
def test_what_comes_out_otherwise_is_named(
    judging: ModuleType, setting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "activity", lambda *_: ("lib: 3 replaced", ""))
    monkeypatch.setattr(judging, "replaces_anything", lambda *_: True)
    plain, frames = judging.judge(row(judging), setting, ["frames"])
    assert plain.run.outcomes["test_suite.py::test_fails_always"] == "failed"
    assert plain.run.outcomes["test_suite.py::test_different"] == "passed"
    assert frames.level == "frames"
    assert frames.different == {"test_suite.py::test_different": "passed -> failed"}
    assert frames.flaky == ["test_suite.py::test_flaky"]
    assert frames.problem == ""


def test_a_level_in_which_nothing_was_replaced_is_not_judged(
    judging: ModuleType, setting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The speedups really run here; of them none has such a library."""
    monkeypatch.setattr(judging, "replaces_anything", lambda *_: True)
    _, frames = judging.judge(row(judging), setting, ["frames"])
    assert frames.problem == "lib unknown: no such target"
    assert frames.run.outcomes["test_suite.py::test_different"] == "failed"


@pytest.mark.parametrize(
    ("notes", "ran"),
    [
        ([""], True),
        (["nothing to replace at level kernels"], False),
        (["nothing to replace at level kernels; and a note"], False),
        (["nothing to replace at level kernels", "refused"], True),
    ],
)
def test_a_level_at_which_there_is_nothing_to_replace_is_not_run(
    program: ModuleType,
    judging: ModuleType,
    setting: Any,
    monkeypatch: pytest.MonkeyPatch,
    notes: list[str],
    ran: bool,
) -> None:
    told = json.dumps([{"note": note} for note in notes])
    monkeypatch.setattr(judging, "run_tool", lambda *_, **__: told)
    monkeypatch.setattr(judging, "activity", lambda *_: ("lib: 3 replaced", ""))
    (setting.directory / "test_suite.py").write_text("def test_one(): pass\n")
    _, kernels = judging.judge(row(judging), setting, ["kernels"])
    assert bool(kernels.run.outcomes) == ran
    nothing = "not run: nothing to replace at this level"
    told = "1 passed: the same (lib: 3 replaced)" if ran else nothing
    assert program.summary(kernels) == (told, False)


def test_what_there_is_to_replace_is_asked_of_wsfast(judging: ModuleType, setting: Any) -> None:
    assert judging.replaces_anything(row(judging, name="wsproto"), setting, "kernels")
    with pytest.raises(sys.modules["venvs"].Unavailable, match="no library that wsfast speeds up"):
        judging.replaces_anything(row(judging), setting, "kernels")


def test_without_a_plain_run_nothing_is_judged(judging: ModuleType, setting: Any) -> None:
    verdicts = judging.judge(row(judging, arguments="no_such_test.py"), setting, ["frames"])
    (plain,) = verdicts
    assert "pytest ended with 4" in plain.problem


def test_no_variable_of_ours_reaches_the_plain_run(
    judging: ModuleType, setting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "off")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    run = judging.run_tests(row(judging), setting, "", "plain", ())
    assert run.outcomes["test_suite.py::test_different"] == "passed"


def test_a_run_that_dies_is_a_problem_and_keeps_what_it_had(
    judging: ModuleType, setting: Any
) -> None:
    (setting.directory / "test_suite.py").write_text(
        "import os\ndef test_one(): pass\ndef test_two(): os._exit(11)\n"
    )
    run = judging.run_tests(row(judging), setting, "", "plain", ())
    assert run.outcomes == {"test_suite.py::test_one": "passed"}
    assert "pytest ended with 11" in run.problem


def test_a_run_that_hangs_is_stopped(judging: ModuleType, setting: Any) -> None:
    (setting.directory / "test_suite.py").write_text(
        "import signal\ndef test_one(): signal.pause()\n"
    )
    run = judging.run_tests(row(judging, seconds=2), setting, "", "plain", ())
    assert run.problem.startswith("not done in 2 s")


def test_the_environment_of_a_row_reaches_its_tests(judging: ModuleType, setting: Any) -> None:
    (setting.directory / "test_suite.py").write_text(
        "import os\ndef test_one(): assert os.environ['USE_TWISTED'] == '1'\n"
    )
    one = row(judging, environment={**FAST, "USE_TWISTED": "1"})
    run = judging.run_tests(one, setting, "", "plain", ())
    assert run.outcomes == {"test_suite.py::test_one": "passed"}


# --- whether wsfast was in -------------------------------------------------------------------


def write_report(path: Path, pid: int, **state: Any) -> None:
    """A line as `wsfast.speedups` leaves it."""
    library = {"library": "lib", "state": "active", "level": "frames", "slots": ["a", "b"]}
    with path.open("a") as file:
        line = {"pid": pid, "argv": [], "libraries": [{**library, "note": "", **state}]}
        file.write(json.dumps(line) + "\n")


@pytest.mark.parametrize(
    ("state", "told", "wrong"),
    [
        ({}, "lib: 2 replaced", ""),
        ({"level": "kernels", "note": "no frames of its own"}, "lib: 2 replaced", ""),
        ({"state": "pending", "level": ""}, "", "lib pending"),
        ({"state": "skipped", "level": "", "note": "untested"}, "", "lib skipped: untested"),
        (
            {"state": "skipped", "level": "", "note": "nothing to replace at level frames"},
            "lib: nothing at this level",
            "",
        ),
    ],
    ids=["active", "only kernels", "pending", "untested", "nothing to replace"],
)
def test_what_was_replaced_is_checked(
    judging: ModuleType, tmp_path: Path, state: dict[str, Any], told: str, wrong: str
) -> None:
    write_report(tmp_path / "report", 7, **state)
    run = judging.Run({}, pid=7)
    assert judging.activity(tmp_path / "report", run, ["lib"]) == (told, wrong)


def test_a_refusal_is_wrong_whatever_is_active(judging: ModuleType, tmp_path: Path) -> None:
    write_report(tmp_path / "report", 7)
    run = judging.Run({}, pid=7, refused=("lib: a is gone",))
    found = judging.activity(tmp_path / "report", run, ["lib"])
    assert found == ("lib: 2 replaced", "lib: a is gone")


def test_the_process_that_ran_the_tests_counts(judging: ModuleType, tmp_path: Path) -> None:
    report, run = tmp_path / "report", judging.Run({}, pid=7)
    no_report = ("", "the process that ran the tests left no report")
    assert judging.activity(report, run, ["lib"]) == no_report
    write_report(report, 8)
    assert judging.activity(report, run, ["lib"]) == no_report
    write_report(report, 7, state="pending", level="")
    assert judging.activity(report, run, ["lib"]) == ("", "lib pending")


# --- the program -----------------------------------------------------------------------------


def test_rows_are_selected(program: ModuleType) -> None:
    assert program.selected([]) == list(program.JUDGES)
    assert [each.name for each in program.selected(["autobahn"])] == [
        "autobahn",
        "autobahn-asyncio",
    ]
    (wsproto,) = program.selected(["wsproto==1.2.0"])
    assert (wsproto.version, wsproto.sha256) == ("1.2.0", "")
    (wsproto,) = program.selected([f"wsproto=={program.selected(['wsproto'])[0].version}"])
    assert wsproto.sha256
    with pytest.raises(ValueError, match="no judge is named wsprot:"):
        program.selected(["wsprot"])


def test_the_table_is_listed(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [each.name for each in program.JUDGES]


def test_an_unknown_name_is_a_usage_error(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["no-such-library"]) == 2
    assert "no judge is named no-such-library" in capsys.readouterr().err


def bench(program: ModuleType, monkeypatch: pytest.MonkeyPatch, result: Any) -> Any:
    """The judges of the program, where setting up or judging comes to a given result."""

    def set_up(*_: Any) -> None:
        if isinstance(result, Exception):
            raise result

    monkeypatch.setattr(program, "set_up", set_up)
    monkeypatch.setattr(program, "judge", lambda *_: result)
    return program.Bench(Path("wheel"), ["frames"])


def test_verdicts_are_told_by_name(
    program: ModuleType,
    judging: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = judging.Run({"test_a": "passed", "test_b": "failed"})
    frames = judging.Run({"test_a": "failed", "test_b": "failed"})
    different = {"test_a": "passed -> failed"}
    verdicts = [
        judging.Verdict("", plain, 2),
        judging.Verdict("frames", frames, 1, "lib: 2 replaced", different, ["c"]),
    ]
    one = bench(program, monkeypatch, verdicts)
    one.run(row(judging))
    assert one.failed == ["lib"]
    out = capsys.readouterr().out
    assert "    without wsfast failed: test_b\n" in out
    assert "2 failed: 1 DIFFERENT (lib: 2 replaced)" in out
    assert "    DIFFERENT passed -> failed: test_a\n" in out
    assert "    flaky, the same when run alone: c\n" in out


def test_the_same_results_are_no_failure(
    program: ModuleType, judging: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = judging.Run({"test_a": "failed"})
    one = bench(
        program, monkeypatch, [judging.Verdict("", run, 1), judging.Verdict("frames", run, 1)]
    )
    one.run(row(judging))
    assert (one.failed, one.skipped) == ([], [])


def test_a_missing_checkout_skips_and_a_missing_sdist_fails(
    program: ModuleType, judging: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(program, monkeypatch, program.NoCheckout("nowhere"))
    one.run(row(judging))
    assert (one.failed, one.skipped) == ([], ["lib"])
    for error in (program.Unavailable("nowhere"), FileNotFoundError("tests")):
        two = bench(program, monkeypatch, error)
        two.run(row(judging, checkout="WSFAST_JUDGE_LIB"))
        assert (two.failed, two.skipped) == (["lib"], [])


def test_long_lists_are_cut(program: ModuleType, judging: ModuleType) -> None:
    run = judging.Run({f"test_{number}": "failed" for number in range(100)})
    lines = program.details(judging.Verdict("", run, 1))
    assert len(lines) == program.MAX_LINES + 1
    assert lines[-1] == "and 60 more"


# --- the table -------------------------------------------------------------------------------


def test_the_table_is_complete(program: ModuleType) -> None:
    names = [each.name for each in program.JUDGES]
    assert len(set(names)) == len(names)
    wanted = "websockets wsproto aiohttp tornado websocket-client autobahn uvicorn"
    wanted += " simple-websocket trio-websocket httpx-ws paho-mqtt"
    assert set(wanted.split()) <= set(names)
    for each in program.JUDGES:
        assert (len(each.sha256) == 64) != bool(each.checkout), each.name
        assert set(each.patched) <= set(LIBRARIES), each.name


def test_judges_of_one_library_share_their_environment(program: ModuleType) -> None:
    seen: dict[str, Any] = {}
    for each in program.JUDGES:
        same = (each.version, each.requirements)
        assert seen.setdefault(each.package, same) == same, each.name


# --- environments, wheels and sources --------------------------------------------------------


def pack(directory: Path, requirement: str) -> str:
    """An sdist where `pip download` would leave it; returns its hash."""
    top = directory / "lib-1.0"
    (top / "tests").mkdir(parents=True)
    (top / "tests" / "test_one.py").write_text("")
    archive = directory / requirement / "lib-1.0.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(top, top.name)
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def test_an_sdist_is_checked_and_unpacked(venvs: ModuleType, tmp_path: Path) -> None:
    sha256 = pack(tmp_path, "lib==1.0")
    amended: list[Path] = []
    top = venvs.unpack_sdist("lib==1.0", sha256, tmp_path, amended.append)
    assert (top / "tests" / "test_one.py").exists()
    assert amended == [top]
    assert (top.parent / "pytest.ini").exists()
    (top / "left").touch()
    assert not (venvs.unpack_sdist("lib==1.0", "", tmp_path) / "left").exists()


def test_another_sdist_is_refused(venvs: ModuleType, tmp_path: Path) -> None:
    pack(tmp_path, "lib==1.0")
    with pytest.raises(venvs.Unavailable, match=r"lib-1\.0\.tar\.gz has the SHA-256 .*, not 0000"):
        venvs.unpack_sdist("lib==1.0", "0" * 64, tmp_path)


def test_the_helpers_of_websockets_are_written(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (row,) = (each for each in program.JUDGES if each.name == "websockets")
    row.amend(tmp_path)
    for path in tmp_path.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    assert (tmp_path / "tests" / "extensions" / "utils.py").exists()


@pytest.fixture
def tools(venvs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have run; `pip wheel` leaves a wheel, `venv` an interpreter."""
    commands: list[list[str]] = []

    def run_tool(command: list[Any], seconds: float = 0) -> None:
        commands.append([str(each) for each in command])
        if "wheel" in command:
            (Path(command[-2]) / "wsfast-0.whl").touch()
        elif "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
            (Path(command[-1]) / "bin" / "python").touch()

    monkeypatch.setattr(venvs, "run_tool", run_tool)
    return commands


def test_an_environment_is_changed_only_where_it_must(
    venvs: ModuleType, tools: list[list[str]], tmp_path: Path
) -> None:
    wheel = tmp_path / "wsfast-0.whl"
    wheel.write_bytes(b"one")
    python = venvs.make_venv(tmp_path / "venv", ["lib==1"], wheel)
    assert python == tmp_path / "venv" / "bin" / "python"
    assert [command[-1] for command in tools] == [
        str(tmp_path / "venv"),
        "lib==1",
        str(wheel),
        str(wheel),
    ]
    tools.clear()
    venvs.make_venv(tmp_path / "venv", ["lib==1"], wheel)
    assert tools == []
    wheel.write_bytes(b"two")
    venvs.make_venv(tmp_path / "venv", ["lib==1"], wheel)
    assert [command[-1] for command in tools] == [str(wheel)] * 2
    tools.clear()
    venvs.make_venv(tmp_path / "venv", ["lib==1"], wheel, upgrade=True)
    assert [command[-2:] for command in tools] == [["-U", "lib==1"]]


def test_the_wheel_is_built_again_when_a_source_changed(
    venvs: ModuleType, tools: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, into = tmp_path / "root", tmp_path / "into"
    (root / "wsfast").mkdir(parents=True)
    for each in ("wsfast/a.pyx", "wsfast/a.so", "setup.py"):
        (root / each).write_text("1")
    monkeypatch.setattr(venvs, "ROOT", root)
    monkeypatch.setattr(venvs, "SOURCES", ("wsfast", "setup.py"))
    first = venvs.build_wheel(into)
    (root / "wsfast/a.so").write_text("2")
    assert venvs.build_wheel(into) == first
    assert len(tools) == 1
    (root / "wsfast/a.pyx").write_text("2")
    assert venvs.build_wheel(into) != first
    assert len(tools) == 2
    assert len(list(into.iterdir())) == 1


def test_a_tool_that_fails_says_how(venvs: ModuleType) -> None:
    assert venvs.run_tool([sys.executable, "-c", "print('fine')"]) == "fine\n"
    with pytest.raises(venvs.Unavailable, match="(?s)fails:.*told you so"):
        venvs.run_tool([sys.executable, "-c", "raise SystemExit('told you so')"])


def test_a_checkout_is_named_by_its_variable(
    judging: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "BUILD", tmp_path / "build")
    monkeypatch.setattr(judging, "make_venv", lambda *_: Path("python"))
    one = row(judging, checkout="WSFAST_JUDGE_LIB", directory="tests")
    monkeypatch.delenv("WSFAST_JUDGE_LIB", raising=False)
    with pytest.raises(judging.NoCheckout, match="WSFAST_JUDGE_LIB names no checkout"):
        judging.set_up(one, Path("wheel"))
    monkeypatch.setenv("WSFAST_JUDGE_LIB", os.fspath(tmp_path))
    assert judging.set_up(one, Path("wheel")).directory == tmp_path.resolve() / "tests"
