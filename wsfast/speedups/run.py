"""`python -m wsfast.speedups run`: a program, and every Python it starts, with the speedups in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .environment import VARIABLE

__all__ = ["command_of", "environment_of", "run"]

AUTOLOAD = Path(__file__).with_name("autoload")


def command_of(words: Sequence[str]) -> list[str]:
    """The command line for `-m module ...`, `script.py ...` or `program ...`.

    Raises:
        ValueError: there is no such program.
    """
    first = words[0]
    if first == "-m" or first == "-c" or first.endswith(".py"):
        return [sys.executable, *words]
    beside = Path(sys.executable).with_name(first)
    program = str(beside) if beside.is_file() else shutil.which(first)
    if program is None:
        raise ValueError(f"{first!r} is no program on PATH, no script.py and no -m module")
    return [program, *words[1:]]


def environment_of(wishes: Sequence[str]) -> dict[str, str]:
    """Our environment with the directory of `sitecustomize` in front of PYTHONPATH.

    Args:
        wishes: words for WSFAST_SPEEDUPS, added to what it says already; "off" there stays.
    """
    environment = dict(os.environ)
    path = [str(AUTOLOAD), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    words = [*filter(None, [environment.get(VARIABLE)]), *wishes]
    environment[VARIABLE] = ",".join(words) or "all"
    return environment


def run(words: Sequence[str], wishes: Sequence[str]) -> NoReturn:
    """Become that program; on Windows, where one cannot, wait for it and exit as it does.

    Raises:
        ValueError: see `command_of`.
    """
    command, environment = command_of(words), environment_of(wishes)
    sys.stdout.flush()
    if sys.platform == "win32":
        sys.exit(subprocess.call(command, env=environment))
    os.execve(command[0], command, environment)
