"""`python -m wsfast.speedups run`: a program, and every Python it starts, with the speedups in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .environment import OFF, VARIABLE, read_environment
from .registry import LIBRARIES
from .target import LEVELS

__all__ = ["command_of", "environment_of", "run"]

AUTOLOAD = Path(__file__).with_name("autoload")


def command_of(words: Sequence[str]) -> list[str]:
    """The command line for `-m module ...`, `script.py ...` or `program ...`.

    Raises:
        ValueError: there is no such program.
    """
    first = words[0]
    if first in ("-m", "-c") or first.endswith(".py"):
        return [sys.executable, *words]
    beside = os.path.join(os.path.dirname(sys.executable), first)
    places = [first] if os.path.dirname(first) else [beside, first]
    program = next(filter(None, map(shutil.which, places)), None)
    if program is None:
        raise ValueError(f"{first!r} is no program on PATH, no script.py and no -m module")
    return [program, *words[1:]]


def environment_of(wishes: Sequence[str]) -> dict[str, str]:
    """Our environment with the directory of `sitecustomize` in front of PYTHONPATH.

    Args:
        wishes: words for WSFAST_SPEEDUPS, in place of the level or the libraries that it names
            already; "off" there stays.
    """
    environment = dict(os.environ)
    path = [str(AUTOLOAD), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    said = [each.strip().lower() for each in environment.get(VARIABLE, "").split(",")]
    told = {each in LEVELS for each in wishes}
    kept = [each for each in said if each in OFF or (each in LEVELS) not in told]
    environment[VARIABLE] = ",".join(filter(None, [*kept, *wishes])) or "all"
    return environment


def run(words: Sequence[str], wishes: Sequence[str]) -> NoReturn:
    """Become that program; on Windows, where one cannot, wait for it and exit as it does.

    Raises:
        ValueError: see `command_of` and `read_environment`.
    """
    command, environment = command_of(words), environment_of(wishes)
    read_environment(LIBRARIES, environment)
    sys.stdout.flush()
    if sys.platform == "win32":
        sys.exit(subprocess.call(command, env=environment))
    os.execve(command[0], command, environment)
