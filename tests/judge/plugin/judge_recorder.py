"""A pytest plugin of the judges: records what came of each test, and can run only some of them.

It is loaded into the libraries' own test runs (`-p judge_recorder`), so it needs nothing but
pytest, of any version. A line is written as soon as something is known: what a crash leaves
behind is still to be read.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

#: A file to which a line of JSON is appended for each outcome: [test, outcome].
RECORD = "JUDGE_RECORD"

#: A file with a JSON array of the only tests to run.
ONLY = "JUDGE_ONLY"

#: Names with commas that are looked up, though nobody connects to them; here they lead home.
NAMES = "JUDGE_NAMES"

#: A logger that a library's own test program silences, and that its tests rely on to be silent.
QUIET = "JUDGE_QUIET"


def record(test: str, outcome: str) -> None:
    """Append one outcome."""
    with open(os.environ[RECORD], "a", encoding="utf-8") as file:
        file.write(json.dumps([test, outcome]) + "\n")


def name_of(nodeid: str, location: tuple[Any, ...]) -> str:
    """The test's id with the whole path of its module: the one of a library that is installed
    elsewhere is cut short by pytest, and then two modules may have a test of one name.
    """
    module = location[0].replace(os.sep, "/").rpartition("site-packages/")[2]
    return "::".join([module, *nodeid.split("::")[1:]])


def outcome_of(report: Any) -> str | None:
    """What a report of setup, call or teardown says of its test; None if nothing."""
    if report.outcome == "failed":
        return "failed" if report.when == "call" else "error"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.outcome == "skipped" else "xpassed"
    if report.outcome == "skipped" or report.when == "call":
        return str(report.outcome)
    return None


def pytest_configure(config: Any) -> None:
    """Say which process runs the tests: its report of the speedups is the one that counts."""
    record("pid", str(os.getpid()))
    if os.environ.get(QUIET):
        logging.getLogger(os.environ[QUIET]).setLevel(logging.CRITICAL)
    names = os.environ.get(NAMES, "").split(",")
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        return original("127.0.0.1" if host in names else host, *arguments, **options)

    if names != [""]:
        socket.getaddrinfo = getaddrinfo


def pytest_sessionfinish(session: Any) -> None:
    """Record what wsfast refused to replace here, where it was asked to."""
    if "wsfast.speedups" in sys.modules:
        from wsfast.speedups import registry, status

        for each in status():
            for refusal in registry.library(each.library).refusals:
                record("refused", f"{each.library}: {refusal}")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave out what was not asked for."""
    if os.environ.get(ONLY):
        wanted = set(json.loads(Path(os.environ[ONLY]).read_text(encoding="utf-8")))
        chosen = [each for each in items if name_of(each.nodeid, each.location) in wanted]
        config.hook.pytest_deselected(items=[each for each in items if each not in chosen])
        items[:] = chosen


def pytest_collectreport(report: Any) -> None:
    """A module that cannot be imported is an outcome too; so is one that skips as a whole."""
    if report.outcome != "passed":
        record(report.nodeid, "error" if report.outcome == "failed" else "skipped")


def pytest_runtest_logreport(report: Any) -> None:
    """Called up to three times for each test, and for each of its subtests."""
    outcome = outcome_of(report)
    if outcome is not None:
        record(name_of(report.nodeid, report.location), outcome)
