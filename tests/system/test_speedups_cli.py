"""`python -m wsfast.speedups`: status, bench, selftest and run, as people and tools call them."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_library import Fake, fake_library
from wsfast.speedups import measure
from wsfast.speedups.registry import LIBRARIES, Registry

program = importlib.import_module("wsfast.speedups.__main__")

#: Says whether the speedups are installed: their finder stands in front.
SAY = "import sys; print(type(sys.meta_path[0]).__name__)\n"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A library that the command line knows, and no other one."""
    monkeypatch.setattr(measure, "SAMPLE_SECONDS", 0.0001)
    with fake_library(tmp_path / "site", monkeypatch) as made:
        know(made.registry, monkeypatch)
        yield made


def know(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command line use this registry."""
    monkeypatch.setattr(program, "registry", registry)
    monkeypatch.setattr(program, "install", registry.install)
    monkeypatch.setattr(program, "status", registry.status)


@pytest.fixture
def call(fake: Fake, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: exit code, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = program.main(words)
        except SystemExit as error:
            code = error.code
        finally:
            program.registry.uninstall()
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def shell(root: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if "WSFAST" not in name}
        known["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), known.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, "-m", "wsfast.speedups", *words],
            env={**known, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


# --- status ----------------------------------------------------------------------------------


def test_status_imports_what_is_installed_and_says_what_is_replaced(fake: Fake, call: Any) -> None:
    code, out, err = call("status")
    assert (code, err) == (0, "")
    head, row, *slots = out.splitlines()
    assert head.split() == ["library", "version", "level", "state", "slots", "note"]
    assert row.split() == ["fake-ws", "1.5", "frames", "active", "5"]
    assert slots[0] == "    replaces fakews.frames:mask"
    assert len(slots) == 5


def test_status_as_json(fake: Fake, call: Any) -> None:
    code, out, _ = call("status", "--json", "--level", "kernels", "fake_ws")
    assert code == 0
    assert json.loads(out) == [
        {
            "library": "fake-ws",
            "version": "1.5",
            "level": "kernels",
            "state": "active",
            "slots": ["fakews.frames:mask", "fakews.legacy:shout"],
            "stale": [],
            "note": "",
        }
    ]


def test_status_without_an_import(fake: Fake, call: Any) -> None:
    code, out, _ = call("status", "--json", "--no-import")
    assert code == 0
    assert json.loads(out)[0]["state"] == "pending"
    assert not fake.loaded()


@pytest.mark.parametrize("error", ["ImportError('x')", "RuntimeError('x')", "KeyError('x')"])
def test_status_of_a_library_that_cannot_be_imported(fake: Fake, call: Any, error: str) -> None:
    fake.write_module("frames.py", f"raise {error}\n")
    code, out, err = call("status", "--json")
    assert (code, err) == (0, "")
    (report,) = json.loads(out)
    assert (report["state"], report["slots"]) == ("active", ["fakews.legacy:shout"])


def test_status_under_the_kill_switch(
    fake: Fake, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "off")
    code, out, _ = call("status", "--json")
    assert code == 0
    assert json.loads(out)[0]["state"] == "inactive"
    assert json.loads(out)[0]["note"] == "WSFAST_SPEEDUPS turns everything off"


def test_status_of_the_real_ones(shell: Any) -> None:
    done = shell("status", "--json", "--no-import")
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)
    assert [each["library"] for each in reports] == list(LIBRARIES)
    keys = {"library", "version", "level", "state", "slots", "stale", "note"}
    assert all(each.keys() == keys for each in reports)
    assert {each["state"] for each in reports} <= {"pending", "not-installed", "inactive"}


# --- selftest --------------------------------------------------------------------------------


def test_selftest_agrees(fake: Fake, call: Any) -> None:
    code, out, err = call("selftest", "--seconds", "0.01", "--seed", "7")
    assert (code, err) == (0, "")
    first, *lines = out.splitlines()
    assert first == "seed 7"
    assert [each.split()[:2] for each in lines] == [["fake-ws", "kernels"], ["fake-ws", "frames"]]
    assert all(each.endswith("rounds agree") and " 0 rounds" not in each for each in lines)


def test_selftest_compares_at_least_once(fake: Fake, call: Any) -> None:
    """A machine that stalls must not make it say that nothing was found in no rounds."""
    code, out, _ = call("selftest", "--seconds", "1e-300")
    assert code == 0
    assert [each.split()[2:] for each in out.splitlines()[1:]] == [["1", "rounds", "agree"]] * 2


def test_selftest_of_one_level(fake: Fake, call: Any) -> None:
    _, out, _ = call("selftest", "--seconds", "0.01", "--level", "frames", "fake-ws")
    assert len(out.splitlines()) == 2
    assert set(fake.selftests) == {"frames"}


def test_selftest_chooses_a_seed_and_says_it(fake: Fake, call: Any) -> None:
    seeds = {call("selftest", "--seconds", "0.001")[1].splitlines()[0] for _ in range(3)}
    assert len(seeds) == 3


def test_selftest_that_disagrees_later_fails_and_says_where(
    fake: Fake, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def selftest(originals: Any, level: str, random: Any) -> None:
        fake.selftests.append(level)
        if len(fake.selftests) == 4:
            raise AssertionError("not the same")

    know(fake.tell(fake.part(selftest=selftest)), monkeypatch)
    code, out, _ = call("selftest", "--seconds", "120", "--level", "frames", "--seed", "1")
    assert code == 1
    assert out.splitlines()[1].split(maxsplit=2)[2] == "round 2: AssertionError: not the same"


@pytest.mark.parametrize(("wrong", "state"), [("frames", "active"), ("frames kernels", "refused")])
def test_selftest_of_what_was_refused_at_install_fails(
    fake: Fake, call: Any, monkeypatch: pytest.MonkeyPatch, wrong: str, state: str
) -> None:
    fake.wrong = set(wrong.split())
    know(fake.tell(fake.part()), monkeypatch)
    code, out, _ = call("selftest", "--seconds", "0.01", "--level", "frames")
    assert code == 1
    assert "fake-ws            frames   refused: ValueError: wrong at frames" in out
    assert ("rounds agree" in out) is (state == "active")


def test_selftest_of_an_untested_version_says_so_and_is_no_failure(fake: Fake, call: Any) -> None:
    fake.write("3.0")
    code, out, _ = call("selftest", "--seconds", "0.01")
    assert code == 0
    assert out.count("skipped: untested version 3.0 (tested: 1.0 <= version < 2)") == 2


class Children:
    """Stands for `subprocess.run`: how each library's own process ends."""

    def __init__(self, **codes: int) -> None:
        self.codes = codes
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        name = command[-1].replace("-", "")
        said = f"seed 7\n{command[-1]} said something\n"
        return subprocess.CompletedProcess(command, self.codes[name], stdout=said)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, 1, 2), (0, -11, 11)]
)
def test_selftest_with_jobs_has_a_process_for_each_library(
    fake: Fake,
    call: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    first: int,
    second: int,
    expected: int,
) -> None:
    """A crash is a failure too: its exit status is a negative number."""
    children = Children(fakews=first, otherws=second)
    monkeypatch.setattr(program.subprocess, "run", children)
    with fake_library(tmp_path / "other", monkeypatch, "other-ws") as other:
        know(Registry([fake.target(), other.target()]), monkeypatch)
        words = ("--jobs", "2", "--seed", "7", "--seconds", "3", "--level", "frames")
        code, out, _ = call("selftest", *words)
    assert code == expected
    assert out.splitlines()[0] == "seed 7"
    assert sorted(each for each in out.splitlines() if "said" in each) == [
        "fake-ws said something",
        "other-ws said something",
    ]
    assert ("other-ws           ended by signal 11" in out) is (second == -11)
    for command in children.commands:
        assert command[:4] == [sys.executable, "-m", "wsfast.speedups", "selftest"]
        assert command[4:-1] == ["--seconds", "3.0", "--seed", "7", "--level", "frames"]


# --- bench -----------------------------------------------------------------------------------


def test_bench_has_a_row_for_each_workload(fake: Fake, call: Any) -> None:
    code, out, err = call("bench", "--rounds", "1")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.startswith("us a frame")
    assert [each.split()[:3] for each in rows] == [
        ["fake-ws", "parse", "125"],
        ["fake-ws", "mask", "16"],
    ]


def test_bench_of_a_library_that_cannot_be_imported(fake: Fake, call: Any) -> None:
    fake.write_module("frames.py", "import no_such_module_anywhere\n")
    code, out, err = call("bench", "--rounds", "1")
    assert code == 0
    assert len(out.splitlines()) == 1
    assert err == "fake-ws cannot be imported: No module named 'no_such_module_anywhere'\n"


def test_bench_and_selftest_of_what_is_not_installed(
    fake: Fake, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(Registry([fake.target()._replace(library="no-such-library")]), monkeypatch)
    for command in ("bench", "selftest"):
        code, _, err = call(command, "no-such-library")
        assert (code, err) == (2, "wsfast.speedups: no-such-library is not installed\n")
        assert call(command, *(["--rounds", "1"] if command == "bench" else []))[0] == 0


# --- wrong command lines ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "required: command"),
        ("bogus", "invalid choice: 'bogus'"),
        ("status --bogus", "--bogus"),
        ("status bogus", "'bogus' is no library that wsfast speeds up: fake-ws"),
        ("status --level deep", "'deep'"),
        ("bench bogus", "'bogus' is no library"),
        ("bench --rounds 0", "'0' is no whole number from 1 on"),
        ("bench --rounds -1", "'-1' is no whole number from 1 on"),
        ("bench --rounds 1.5", "'1.5' is no whole number"),
        ("selftest bogus", "'bogus' is no library"),
        ("selftest --seconds 0", "'0' is no number above 0"),
        ("selftest --seconds -2", "'-2' is no number above 0"),
        ("selftest --seconds nan", "'nan' is no number above 0"),
        ("selftest --seconds inf", "'inf' is no number above 0"),
        ("selftest --seconds soon", "'soon' is no number above 0"),
        ("selftest --seed x", "'x'"),
        ("selftest --jobs 0", "'0' is no whole number from 1 on"),
        ("run", "run needs a program"),
        ("run --", "run needs a program"),
        ("run --level deep x", "'deep'"),
        ("run --lev kernels x", "--lev"),
        ("run --only", "--only"),
        ("run --only bogus -m this", "'bogus' is no library"),
        ("run no-such-program-anywhere", "'no-such-program-anywhere' is no program on PATH"),
        ("run -x", "'-x' is no program"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_names_the_word(
    call: Any, words: str, told: str
) -> None:
    code, out, err = call(*words.split())
    assert code == 2
    assert told in err
    assert out == ""


def test_a_wrong_environment_exits_with_2(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSFAST_SPEEDUPS", "bogus")
    for words in ("status", "bench", "selftest --seconds 0.01"):
        code, _, err = call(*words.split())
        assert code == 2
        assert err.startswith("wsfast.speedups: WSFAST_SPEEDUPS: 'bogus' is no library")


@pytest.mark.parametrize("words", ["-h", "status -h", "bench --help", "selftest -h", "run --help"])
def test_help_exits_with_0(call: Any, words: str) -> None:
    code, out, err = call(*words.split())
    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m wsfast.speedups")


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("status --json", 2),
        ("run", 1),
        ("run -m pytest --level x", 1),
        ("run --level kernels -m x", 3),
        ("run --level=kernels --only a,b x --only c", 4),
        ("run -- --level", 1),
        ("run --only a -- -m", 3),
        ("run --help x", 2),
        ("run -h", 2),
        ("run --only", 3),
    ],
)
def test_where_our_words_end(words: str, own: int) -> None:
    assert program.own_words(words.split()) == own


# --- run -------------------------------------------------------------------------------------


def test_run_of_a_module(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)  # of make asan: it hides the directory
    (tmp_path / "tool.py").write_text(f"{SAY}print(__name__, sys.argv[1:])\n", encoding="utf-8")
    done = shell("run", "-m", "tool", "-m", "--level", "x")
    assert done.stdout == "ImportHook\n__main__ ['-m', '--level', 'x']\n", done.stderr


def test_run_of_a_script(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(f"{SAY}print(sys.argv)\n", encoding="utf-8")
    done = shell("run", "tool.py", "a", "--", "b")
    assert done.stdout == "ImportHook\n['tool.py', 'a', '--', 'b']\n", done.stderr


def test_run_of_a_program_on_path(shell: Any, tmp_path: Path) -> None:
    tool = tmp_path / "a-tool"
    tool.write_text(f"#!{sys.executable}\n{SAY}print(sys.argv[1:])\n", encoding="utf-8")
    tool.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PATH", os.defpath)])
    for name in ("a-tool", "./a-tool", str(tool)):
        done = shell("run", "--level", "kernels", name, "-m", "x", PATH=path)
        assert done.stdout == "ImportHook\n['-m', 'x']\n", done.stderr


def test_run_of_code_and_in_its_children(shell: Any) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SAY!r}]); {SAY}"
    assert shell("run", "-c", code).stdout == "ImportHook\nImportHook\n"


def test_run_hands_its_options_to_the_environment(shell: Any) -> None:
    code = "import os; print(os.environ['WSFAST_SPEEDUPS'], os.environ['PYTHONPATH'])"
    done = shell("run", "--level", "kernels", "--only", "wsproto,tornado", "--", "-c", code)
    words, path = done.stdout.split()
    assert words == "kernels,wsproto,tornado"
    assert path.split(os.pathsep)[0].endswith("autoload")
    assert len(path.split(os.pathsep)) >= 2


def test_run_under_the_kill_switch_runs_as_without(shell: Any) -> None:
    done = shell("run", "--only", "wsproto", "-c", SAY, WSFAST_SPEEDUPS="off")
    assert done.returncode == 0
    assert "ImportHook" not in done.stdout and done.stderr == ""


@pytest.mark.parametrize("code", [0, 1, 7, 42])
def test_the_exit_code_passes_through(shell: Any, code: int) -> None:
    assert shell("run", "-c", f"raise SystemExit({code})").returncode == code


def test_input_and_output_pass_through(root: Path) -> None:
    code = "import sys; print(sys.stdin.read().upper()); print('aside', file=sys.stderr)"
    command = [sys.executable, "-m", "wsfast.speedups", "run", "-c", code]
    done = subprocess.run(
        command, input="text", cwd=root, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("TEXT\n", "aside\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_program(root: Path, number: signal.Signals) -> None:
    """There is no process between: it became the program."""
    code = (  # blocked and then waited for: one that comes in between is not lost
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [int(sys.argv[1])])\n"
        "print(os.getpid(), flush=True)\n"
        "sys.exit(signal.sigwait([int(sys.argv[1])]) + 32)\n"
    )
    command = [sys.executable, "-m", "wsfast.speedups", "run", "-c", code, str(int(number))]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            assert int(process.stdout.readline()) == process.pid
            process.send_signal(number)
            assert process.wait(60) == 32 + number
        finally:
            watchdog.cancel()
            process.kill()


def test_a_library_is_replaced_in_what_run_starts(shell: Any) -> None:
    pytest.importorskip("wsproto")
    code = (
        "import wsproto, wsfast.speedups\n"
        "(report,) = wsfast.speedups.status('wsproto')\n"
        "print(report.state, report.level, wsfast.speedups.status('tornado')[0].state)\n"
    )
    done = shell("run", "--level", "kernels", "--only", "wsproto", "-c", code)
    assert done.stdout in ("active kernels inactive\n", "active kernels not-installed\n")
