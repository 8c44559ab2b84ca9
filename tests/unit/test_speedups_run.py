"""`run`: the command line that it starts, and the environment that it starts it in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from wsfast.speedups import run as module
from wsfast.speedups.run import AUTOLOAD, command_of, environment_of, run


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WSFAST_SPEEDUPS", "WSFAST_SPEEDUPS_UNTESTED", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)


def program(directory: Path, name: str = "tool") -> Path:
    """A program in a directory that is made for it."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n", encoding="ascii")
    path.chmod(0o755)
    return path


# --- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "pytest", "-x"],
        ["-c", "print(1)"],
        ["script.py"],
        ["some/where/script.py", "--level", "kernels"],
        ["-m", "uvicorn", "--", "-m"],
    ],
)
def test_what_python_runs(words: list[str]) -> None:
    assert command_of(words) == [sys.executable, *words]


def test_a_program_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(path.parent))
    assert command_of(["tool", "-m", "x"]) == [str(path), "-m", "x"]


def test_a_program_beside_the_interpreter_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of an environment which nobody activated."""
    beside, path = program(tmp_path / "venv"), program(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(path.parent))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    assert command_of(["tool"]) == [str(beside)]
    beside.chmod(0o644)  # it cannot be run, so it is none
    assert command_of(["tool"]) == [str(path)]


def test_a_program_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    for name in (str(path), "./bin/tool", "bin/tool"):
        assert command_of([name, "a"]) == [name, "a"]
    monkeypatch.setattr(sys, "executable", str(path.parent / "python"))
    with pytest.raises(ValueError, match="'./tool' is no program"):
        command_of(["./tool"])


@pytest.mark.parametrize("name", ["no-such-program-anywhere", "./no/such", "", "-x", ".", "/"])
def test_a_program_that_is_not_there(name: str) -> None:
    with pytest.raises(ValueError) as raised:
        command_of([name])
    assert str(raised.value) == f"{name!r} is no program on PATH, no script.py and no -m module"


# --- the environment -------------------------------------------------------------------------


def test_the_directory_of_sitecustomize_is_there() -> None:
    assert (AUTOLOAD / "sitecustomize.py").is_file()


@pytest.mark.parametrize("before", [None, "", "/a", f"/a{os.pathsep}/b"])
def test_it_stands_in_front_of_pythonpath(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is not None:
        monkeypatch.setenv("PYTHONPATH", before)
    found = environment_of([])["PYTHONPATH"].split(os.pathsep)
    assert found == [str(AUTOLOAD), *filter(None, (before or "").split(os.pathsep))]
    assert os.environ.get("PYTHONPATH") == before


def test_everything_else_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING", "else")
    changed = {"PYTHONPATH", "WSFAST_SPEEDUPS"}
    found = environment_of(["kernels"])
    assert {key: value for key, value in found.items() if key not in changed} == {
        key: value for key, value in os.environ.items() if key not in changed
    }


@pytest.mark.parametrize(
    ("said", "wishes", "expected"),
    [
        (None, [], "all"),
        ("", [], "all"),
        (None, ["kernels"], "kernels"),
        (None, ["kernels", "wsproto"], "kernels,wsproto"),
        ("wsproto", [], "wsproto"),
        ("wsproto", ["kernels"], "wsproto,kernels"),
        ("kernels", ["wsproto"], "kernels,wsproto"),
        ("websockets", ["wsproto"], "wsproto"),
        ("all", ["wsproto"], "wsproto"),
        ("kernels", ["frames"], "frames"),
        ("Kernels,websockets", ["frames", "wsproto", "tornado"], "frames,wsproto,tornado"),
        ("off", ["frames", "wsproto"], "off,frames,wsproto"),
        (" 0 ", ["wsproto"], "0,wsproto"),
        ("off", [], "off"),
    ],
)
def test_the_command_line_wins_over_all_but_off(
    monkeypatch: pytest.MonkeyPatch, said: str | None, wishes: list[str], expected: str
) -> None:
    if said is not None:
        monkeypatch.setenv("WSFAST_SPEEDUPS", said)
    assert environment_of(wishes)["WSFAST_SPEEDUPS"] == expected


# --- becoming that program -------------------------------------------------------------------


class Became(Exception):
    """Stands for the process that is another one now."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(*arguments: Any) -> None:
        raise Became(*arguments)

    monkeypatch.setattr(module.os, "execve", execve)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no execve worth the name")
def test_it_becomes_the_program(became: None) -> None:
    with pytest.raises(Became) as raised:
        run(["-m", "this", "x"], ["kernels"])
    path, command, environment = raised.value.args
    assert path == sys.executable
    assert command == [sys.executable, "-m", "this", "x"]
    assert environment == environment_of(["kernels"])


@pytest.mark.parametrize(
    ("words", "wishes", "told"),
    [
        (["no-such-program-anywhere"], [], "no-such-program-anywhere"),
        (["-m", "this"], ["bogus"], "'bogus' is no library"),
        (["-m", "this"], ["kernels", "frames"], "not both"),
    ],
)
def test_what_is_wrong_is_said_before(
    became: None, words: list[str], wishes: list[str], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        run(words, wishes)


def test_a_wrong_environment_is_said_before(became: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "bogus")
    with pytest.raises(ValueError, match="WSFAST_SPEEDUPS: 'bogus'"):
        run(["-m", "this"], [])


def test_where_one_cannot_become_it_the_exit_code_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as raised:
        run(["-c", "raise SystemExit(7)"], [])
    assert raised.value.code == 7
