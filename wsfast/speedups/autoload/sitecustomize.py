"""Installs the speedups when an interpreter starts; `python -m wsfast.speedups run` put it here.

Its directory stands in PYTHONPATH, so that every Python that the program starts, workers
included, comes by. A `sitecustomize` of the environment's own runs afterwards, as it would have.
"""

from __future__ import annotations

import atexit
import importlib.machinery
import importlib.util
import os
import sys

__all__ = ["REPORT", "install_all", "run_the_next", "write_report"]

#: A file to which every process appends its state as a line of JSON when it ends.
REPORT = "WSFAST_SPEEDUPS_REPORT"


def install_all() -> None:
    """Install what WSFAST_SPEEDUPS says; an interpreter that has no wsfast goes without."""
    try:
        from wsfast import speedups
    except ModuleNotFoundError:
        return
    speedups.install()
    if os.environ.get(REPORT):
        atexit.register(write_report)


def write_report() -> None:
    """Append the state of every library to the file that REPORT names."""
    import json

    from wsfast import speedups

    reports = [each._asdict() for each in speedups.status()]
    line = json.dumps({"pid": os.getpid(), "argv": sys.argv, "libraries": reports})
    with open(os.environ[REPORT], "ab", buffering=0) as file:  # a line of each process, whole
        file.write(f"{line}\n".encode())


def run_the_next() -> None:
    """Run the `sitecustomize` that this one stands in front of, if there is one."""
    here = os.path.dirname(os.path.realpath(__file__))
    path = [each for each in sys.path if os.path.realpath(each) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    try:
        install_all()
    finally:
        run_the_next()
