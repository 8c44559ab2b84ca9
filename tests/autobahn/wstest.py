"""The wstest program: finds a CPython 2.7, installs the test suite once, builds command lines."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["VERSION", "Unavailable", "Wstest", "prepare"]

VERSION = "25.10.1"
INSTALL_SECONDS = 300
CHECK = f"""
import autobahntestsuite.wstest
assert autobahntestsuite.version == '{VERSION}'
"""
# Twisted's log names the port once the socket listens, so that port 0 will do.
RUN = """
import sys
from twisted.python import log
log.startLogging(sys.stdout, setStdout=False)
from autobahntestsuite.wstest import run
run()
"""


class Unavailable(Exception):
    """The suite cannot run on this machine; the message says what is missing."""


class Wstest:
    """One installed copy of the suite.

    Args:
        python: path of a CPython 2.7.
        home: directory that holds the packages (PYTHONUSERBASE).
    """

    def __init__(self, python: str, home: Path) -> None:
        self.python = python
        self.env = {**os.environ, "PYTHONUSERBASE": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        for name in ("PYTHONPATH", "PYTHONHOME"):
            self.env.pop(name, None)

    def command(self, mode: str, spec: dict[str, Any], directory: Path) -> list[str]:
        """Write `spec` into `directory` and return the command that runs it in this mode."""
        path = directory / f"{mode}.json"
        path.write_text(json.dumps(spec), encoding="ascii")
        options = ["-m", mode, "-s", str(path), "--webport", "0"]
        return [self.python, "-u", "-c", RUN, *options]

    def is_installed(self) -> bool:
        """Whether the pinned version imports."""
        return self._run("-c", CHECK).returncode == 0

    def install(self) -> None:
        """Install the pinned version with pip; compiles some C.

        Raises:
            Unavailable: pip failed; its last lines are in the message.
        """
        done = self._run("-m", "pip", "install", "--user", f"autobahntestsuite=={VERSION}")
        if done.returncode or not self.is_installed():
            end = "\n".join(done.stdout.split("\n")[-15:])
            raise Unavailable(f"wstest does not install:\n{end}")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
        )


def prepare(home: Path) -> Wstest:
    """Find a CPython 2.7 and see to it that `home` holds the suite.

    Raises:
        Unavailable: no such interpreter, or the suite does not install.
    """
    for python in _candidates():
        if _version(python) == (2, 7):
            wstest = Wstest(python, home)
            if not wstest.is_installed():
                print(f"installing autobahntestsuite {VERSION} into {home}", flush=True)
                home.mkdir(parents=True, exist_ok=True)
                wstest.install()
            return wstest
    raise Unavailable(
        "wstest needs a CPython 2.7: set WSFAST_PYTHON27, put python2.7 on PATH,"
        " or let pyenv install 2.7.18"
    )


def _candidates() -> Iterator[str]:
    named = os.environ.get("WSFAST_PYTHON27")
    if named:
        yield named
        return  # what was asked for, and nothing else in its place
    yield "python2.7"
    prefix = _output(["pyenv", "prefix", "2.7.18"])
    if prefix:
        yield str(Path(prefix) / "bin" / "python")


def _version(python: str) -> tuple[int, ...]:
    text = _output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    return tuple(map(int, text.split("."))) if text else ()


def _output(command: Sequence[str]) -> str:
    """What a command prints, stripped; empty if it is missing or fails (a pyenv shim may)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
