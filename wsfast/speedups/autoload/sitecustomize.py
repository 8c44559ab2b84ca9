"""Installs the speedups when an interpreter starts; `python -m wsfast.speedups run` put it here.

Its directory stands in PYTHONPATH, so that every Python that the program starts, workers
included, comes by. A `sitecustomize` of the environment's own runs afterwards, as it would have.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

__all__ = ["REPORT", "install_all", "run_the_next", "write_report"]

#: A file to which every process appends its state as a line of JSON when it ends.
REPORT = "WSFAST_SPEEDUPS_REPORT"


def install_all() -> None:
    """Install what WSFAST_SPEEDUPS says; an interpreter that has no wsfast goes without."""
    with contextlib.suppress(ModuleNotFoundError):
        from wsfast import speedups

        speedups.install()
        if os.environ.get(REPORT):
            atexit.register(write_report)


def write_report() -> None:
    """Append the state of every library to the file that REPORT names."""
    import json

    from wsfast import speedups

    reports = [each._asdict() for each in speedups.status()]
    line = json.dumps({"pid": os.getpid(), "argv": sys.argv, "libraries": reports})
    with open(os.environ[REPORT], "a", encoding="utf-8") as file:
        file.write(line + "\n")


def run_the_next() -> None:
    """Run the `sitecustomize` that this one stands in front of, if there is one."""
    here = Path(__file__).resolve().parent
    path = [each for each in sys.path if Path(each or ".").resolve() != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    install_all()
    run_the_next()
