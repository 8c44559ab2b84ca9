"""`wsfast-bench run plan.toml`: phases one after the other, each of one load or several at once.

url = "ws://localhost:8000/"

[defaults]                       # options of every load, as on the command line
connections = "1k"

[[phase]]
name = "steady"
rate = "5k"
duration = "30s"
fail-if = ["p99>20ms"]

[[phase]]
name = "mixed"

[[phase.load]]
mode = "echo"
rate = "2k"

[[phase.load]]
mode = "fanout"
rate = "100"
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from wsfast.loadgen.tomlfile import read_toml
from wsfast.loadgen.units import format_count, format_duration

__all__ = ["Load", "command", "phases"]

#: Modes that a plan may run.
MODES = ("echo", "ping", "idle", "fanout", "recv", "connect")

#: Keys that are no options.
OWN = frozenset({"name", "mode", "url", "load"})


class Load(NamedTuple):
    """One load.

    Attributes:
        phase: name of its phase.
        words: the command line.
    """

    phase: str
    words: tuple[str, ...]


def phases(plan: Mapping[str, Any]) -> list[list[Load]]:
    """The phases in order, each the loads that run at once.

    Raises:
        ValueError: a key or a mode is unknown, or there is no phase.
    """
    unknown = set(plan) - {"url", "defaults", "phase"}
    if unknown:
        raise ValueError(f"{min(unknown)!r} is none of url, defaults and phase")
    if not plan.get("phase"):
        raise ValueError("the plan has no [[phase]]")
    found = []
    for number, phase in enumerate(plan["phase"], 1):
        common = {**plan.get("defaults", {}), **{k: v for k, v in phase.items() if k != "load"}}
        name = str(phase.get("name", f"phase {number}"))
        url = phase.get("url", plan.get("url"))
        loads = phase.get("load", [{}])
        found.append([load_of(name, url, {**common, **each}) for each in loads])
    return found


def load_of(phase: str, url: str | None, options: Mapping[str, Any]) -> Load:
    """The command line of one load.

    Raises:
        ValueError: the mode is none.
    """
    mode = options.get("mode", "echo")
    if mode not in MODES:
        raise ValueError(f"{phase}: mode {mode!r} is none of {', '.join(MODES)}")
    words = [mode, *filter(None, [options.get("url", url)])]
    for key, value in options.items():
        if key not in OWN:
            words += option_words(f"--{key.replace('_', '-')}", value)
    return Load(phase, tuple(words))


def option_words(flag: str, value: object) -> list[str]:
    """An option on the command line: a list comes several times, true alone, false not at all."""
    if isinstance(value, bool):
        return [flag] if value else []
    if isinstance(value, list):
        return [word for each in value for word in (flag, str(each))]
    return [flag, str(value)]


def run_phase(loads: list[Load]) -> list[tuple[Load, int, Any]]:
    """Run loads at once; of each its exit status and its JSON (None if it printed none)."""
    command = [sys.executable, "-m", "wsfast.loadgen"]
    started = [
        subprocess.Popen(
            [*command, *load.words, "--json", "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        for load in loads
    ]
    results = []
    for load, process in zip(loads, started, strict=True):
        out, _ = process.communicate()
        results.append((load, process.returncode, json.loads(out) if out.strip() else None))
    return results


def line_of(load: Load, status: int, document: Any) -> str:
    """What became of a load, in a line."""
    head = f"{load.phase:16} {load.words[0]:8}"
    if document is None:
        return f"{head} exit status {status}"
    latency = document["latency"].get("intended") or document["latency"]["actual"]
    return (
        f"{head} {format_count(document['summary']['messages_per_second']):>10}/s"
        f"  p50 {format_duration(latency['p50']):>8}  p99 {format_duration(latency['p99']):>8}"
        f"  {document['verdict']['name']}{f', exit status {status}' if status else ''}"
    )


EPILOG = """
\b
Example of a plan:
  url = "ws://localhost:8000/"
  [defaults]
  connections = "1k"
  [[phase]]
  name = "steady"
  rate = "5k"
  duration = "30s"
  fail-if = ["p99>20ms"]
\b
Examples:
  wsfast-bench run plan.toml
  wsfast-bench run plan.toml -o results.json
"""


@click.command("run", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file")
@click.option("-o", "--output", metavar="FILE.json", help="Write the results of all loads.")
def command(file: str, output: str | None) -> None:
    """Run the phases of a plan in TOML, one after the other; loads of a phase run at once.

    The exit status is the highest of all loads.
    """
    try:
        plan = phases(read_toml(file))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    worst, documents = 0, []
    for loads in plan:
        for load, status, document in run_phase(loads):
            print(line_of(load, status, document), flush=True)
            worst = max(worst, status)
            documents.append({"phase": load.phase, "status": status, "result": document})
    if output is not None:
        Path(output).write_text(json.dumps(documents, indent=2) + "\n", encoding="utf-8")
    sys.exit(worst)
