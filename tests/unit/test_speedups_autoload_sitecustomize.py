"""What `run` puts in front of every Python that a program starts."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wsfast import speedups
from wsfast.speedups.autoload import sitecustomize
from wsfast.speedups.run import AUTOLOAD

#: Says whether the speedups are installed: their finder stands in front.
SAY = "import sys; print('installed', 'wsfast.speedups' in sys.modules and type(sys.meta_path[0])"
SAY += ".__name__ == 'ImportHook')\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("WSFAST_SPEEDUPS", "WSFAST_SPEEDUPS_UNTESTED", sitecustomize.REPORT):
        monkeypatch.delenv(name, raising=False)
    finders = list(sys.meta_path)
    yield
    assert sys.meta_path == finders


@pytest.fixture
def python(root: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs a Python as `run` would start it, with directories of its own behind ours."""

    def start(code: str, *path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        places = os.pathsep.join(map(str, [AUTOLOAD, *path, root]))
        known = {**os.environ, "PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**known, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return start


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Path]:
    """A directory with a sitecustomize of the environment's own."""

    def write(source: str) -> Path:
        directory = tmp_path / "own"
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(source, encoding="utf-8")
        return directory

    return write


# --- in a process of its own -----------------------------------------------------------------


def test_every_python_that_comes_by_has_the_speedups(python: Callable[..., Any]) -> None:
    done = python(SAY)
    assert (done.stdout, done.stderr) == ("installed True\n", "")


def test_off_is_off(python: Callable[..., Any]) -> None:
    done = python(SAY, WSFAST_SPEEDUPS="off")
    assert (done.stdout, done.stderr) == ("installed False\n", "")


def test_children_have_them_too(python: Callable[..., Any]) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SAY!r}])"
    assert python(code).stdout == "installed True\n"


def test_processes_that_multiprocessing_spawns_have_them_too(
    python: Callable[..., Any], tmp_path: Path
) -> None:
    source = (
        "import multiprocessing, sys\n"
        "def say(queue):\n"
        "    queue.put(type(sys.meta_path[0]).__name__)\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=say, args=(queue,))\n"
        "    process.start()\n"
        "    print(queue.get(timeout=60))\n"
        "    process.join()\n"
    )
    (tmp_path / "spawning.py").write_text(source, encoding="utf-8")
    done = python("import runpy; runpy.run_path('spawning.py', run_name='__main__')")
    assert done.stdout == "ImportHook\n", done.stderr


def test_the_sitecustomize_of_the_environment_runs_as_it_would_have(
    python: Callable[..., Any], own: Callable[[str], Path]
) -> None:
    directory = own("import sys\nsys.own = __name__, __file__, __spec__.name\nknown = True\n")
    done = python(f"{SAY}import sitecustomize; print(*sys.own, sitecustomize.known)", directory)
    file = directory / "sitecustomize.py"
    assert done.stdout == f"installed True\nsitecustomize {file} sitecustomize True\n"
    assert done.stderr == ""


def test_an_error_in_it_is_told_as_it_would_have_been(
    python: Callable[..., Any], own: Callable[[str], Path]
) -> None:
    done = python(SAY, own("raise KeyError('its own')\n"))
    assert done.returncode == 0
    assert done.stdout == "installed True\n"
    assert "Error in sitecustomize" in done.stderr and "KeyError: 'its own'" in done.stderr


def test_a_wrong_word_is_told_and_the_other_one_still_runs(
    python: Callable[..., Any], own: Callable[[str], Path]
) -> None:
    directory = own("import sys\nsys.own = True\n")
    done = python(f"{SAY}print(sys.own)", directory, WSFAST_SPEEDUPS="bogus")
    assert done.returncode == 0
    assert done.stdout == "installed False\nTrue\n"
    assert "ValueError: WSFAST_SPEEDUPS: 'bogus' is no library" in done.stderr


def test_an_interpreter_without_wsfast_goes_without(
    tmp_path: Path, own: Callable[[str], Path]
) -> None:
    directory = own("import sys\nsys.own = True\n")
    known = {**os.environ, "PYTHONPATH": os.pathsep.join([str(AUTOLOAD), str(directory)])}
    code = "import sys; print(sys.own, 'wsfast' in sys.modules)"
    other = Path(sys.executable).resolve()  # outside of a virtual environment
    command = [str(other), "-c", code]
    done = subprocess.run(command, env=known, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout in ("True False\n", "True True\n"), done.stderr
    assert done.stderr == ""


def test_every_process_appends_its_report(python: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "report"
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'pass'])"
    assert python(code, WSFAST_SPEEDUPS_REPORT=str(file)).stderr == ""
    lines = [json.loads(each) for each in file.read_text("utf-8").splitlines()]
    assert len(lines) == 2
    assert len({each["pid"] for each in lines}) == 2
    for each in lines:
        assert each["argv"] == ["-c"]
        assert {"library", "state", "slots"} <= set(each["libraries"][0])


# --- one by one ------------------------------------------------------------------------------


def test_importing_it_by_its_long_name_does_nothing() -> None:
    assert sitecustomize.__name__ != "sitecustomize"


def test_it_installs_with_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(speedups, "install", lambda *names, **told: calls.append((names, told)))
    monkeypatch.setattr(atexit, "register", calls.append)
    sitecustomize.install_all()
    assert calls == [((), {})]


def test_it_registers_the_report_where_one_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(speedups, "install", lambda: None)
    monkeypatch.setattr(atexit, "register", calls.append)
    monkeypatch.setenv(sitecustomize.REPORT, str(tmp_path / "report"))
    sitecustomize.install_all()
    assert calls == [sitecustomize.write_report]


def test_without_wsfast_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wsfast", None)  # type: ignore[arg-type]
    monkeypatch.setattr(speedups, "install", lambda: pytest.fail("installed"))
    sitecustomize.install_all()


def test_an_error_of_install_is_not_taken_for_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    def install() -> None:
        raise ModuleNotFoundError("something of ours")

    monkeypatch.setattr(speedups, "install", install)
    with pytest.raises(ModuleNotFoundError, match="something of ours"):
        sitecustomize.install_all()


def test_reports_are_whole_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "report"
    monkeypatch.setenv(sitecustomize.REPORT, str(file))
    for _ in range(2):
        sitecustomize.write_report()
    for line in file.read_text("utf-8").splitlines():
        found = json.loads(line)
        assert found["pid"] == os.getpid()
        assert found["argv"] == sys.argv
        assert [each["library"] for each in found["libraries"]] == [
            each.library for each in speedups.status()
        ]


def test_without_another_sitecustomize_ours_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = ModuleType("sitecustomize")
    monkeypatch.setitem(sys.modules, "sitecustomize", ours)
    monkeypatch.setattr(sys, "path", [str(AUTOLOAD), str(tmp_path), f"{AUTOLOAD}{os.sep}."])
    monkeypatch.chdir(tmp_path)
    sitecustomize.run_the_next()
    assert sys.modules["sitecustomize"] is ours


@pytest.mark.parametrize("spelling", ["own", "", "package"])
def test_the_next_one_on_the_path_takes_the_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spelling: str
) -> None:
    place = tmp_path / "package" / "sitecustomize" if spelling == "package" else tmp_path
    place.mkdir(parents=True, exist_ok=True)
    name = "__init__.py" if spelling == "package" else "sitecustomize.py"
    (place / name).write_text("own = __name__\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "sitecustomize", ModuleType("sitecustomize"))
    path = {"own": str(tmp_path), "": "", "package": str(tmp_path / "package")}[spelling]
    monkeypatch.setattr(sys, "path", [str(AUTOLOAD), path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sitecustomize.run_the_next()
    assert sys.modules["sitecustomize"].own == "sitecustomize"
    assert sys.path == [str(AUTOLOAD), path]
