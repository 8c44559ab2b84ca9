"""`wsfast-bench compare`: figures of several runs side by side, with ratios to the first."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from wsfast.loadgen.document import SCHEMA
from wsfast.loadgen.thresholds import is_duration, value_of
from wsfast.loadgen.units import format_count, format_duration

__all__ = ["command", "differences", "load", "table"]

#: What is compared, as far as the runs have it.
FIGURES = (
    "throughput",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "max",
    "handshake.p50",
    "handshake.p99",
    "errors",
    "lag.p99",
    "target.messages_per_cpu_second",
)

#: Settings that may differ without making the runs two different measurements.
INCIDENTAL = frozenset({"url", "address", "port", "sources", "seed", "cpus"})


def load(path: str) -> dict[str, Any]:
    """Read the JSON of a run.

    Raises:
        ValueError: it cannot be read, is no run of ours, or of another version of the form.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict) or found.get("program") != "wsfast-bench":
        raise ValueError(f"{path} is no result of wsfast-bench")
    if found.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {found.get('schema')}, not {SCHEMA}")
    return found


def differences(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings in which runs differ from the first one, as lines."""
    found = []
    for name, first in runs[0]["settings"].items():
        values = [run["settings"].get(name) for run in runs]
        if name not in INCIDENTAL and any(value != first for value in values):
            found.append(f"{name}: {', '.join(map(str, values))}")
    return found


def table(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Lines: a figure each, a column for each run, with its ratio to the first behind it."""
    widths = [max(24, len(name) + 2) for name in names]
    head = "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"{'':32}{head}"]
    for figure in FIGURES:
        try:
            values = [value_of(figure, run) for run in runs]
        except ValueError:
            continue
        cells = (
            f"{cell(figure, value, values[0]):>{width}}"
            for value, width in zip(values, widths, strict=True)
        )
        lines.append(f"{figure:32}{''.join(cells)}")
    verdicts = (
        f"{run['verdict']['name']:>{width}}" for run, width in zip(runs, widths, strict=True)
    )
    return [*lines, f"{'verdict':32}{''.join(verdicts)}"]


def cell(figure: str, value: float, first: float) -> str:
    """A value with its ratio to the first one."""
    shown = format_duration(value) if is_duration(figure) else format_count(value)
    return f"{shown} ({value / first:.2f})" if first else shown


EPILOG = """
\b
Example:
  wsfast-bench compare before.json after.json
"""


@click.command("compare", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True)
def command(files: tuple[str, ...]) -> None:
    """Show the figures of runs side by side; FILES are written by `-o run.json` or --json."""
    try:
        runs = [load(each) for each in files]
    except ValueError as error:
        print(f"wsfast-bench compare: {error}", file=sys.stderr)
        sys.exit(1)
    print("\n".join(table(runs, [Path(each).stem for each in files])))
    for line in differences(runs):
        print(f"the settings differ in {line}")
