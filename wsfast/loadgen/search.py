"""`wsfast-bench search`: the highest rate, or the most connections, at which a condition holds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import click

from wsfast.loadgen.command import ALONE, EXIT_NOT_RUN, check, target_of
from wsfast.loadgen.contentoptions import CONTENT_OPTIONS, TEMPLATE_OPTIONS
from wsfast.loadgen.coordinator import CouldNotRun
from wsfast.loadgen.document import document_of
from wsfast.loadgen.live import Progress
from wsfast.loadgen.measurement import measure
from wsfast.loadgen.options import (
    CONNECT_OPTIONS,
    GREETING_OPTIONS,
    HANDSHAKE_OPTIONS,
    LOAD_OPTIONS,
    amount,
    each,
    parse_percentage,
    parsed,
    with_options,
)
from wsfast.loadgen.thresholds import evaluate, parse_threshold
from wsfast.loadgen.tlsoptions import TLS_OPTIONS
from wsfast.loadgen.units import format_count, format_duration, parse_count
from wsfast.loadgen.verdict import GENERATOR_BOUND

__all__ = ["command", "highest"]


def highest(lowest: int, most: int, precision: float, holds: Callable[[int], bool]) -> int | None:
    """The highest number at which a condition holds, if it fails from some number on.

    Doubles from the lowest on until it fails, then halves the interval until that is no longer
    than `precision` of its lower end.

    Args:
        lowest, most: where to search; `most` is tried if everything below holds.
        precision: as a share of the answer, 0.05 for 5 %.
        holds: tries a number.

    Returns:
        None: it does not even hold at the lowest.
    """
    if not holds(lowest):
        return None
    good, bad = lowest, lowest
    while bad == good:
        if good >= most:
            return good
        tried = min(most, good * 2)
        if holds(tried):
            good = bad = tried
        else:
            bad = tried
    while bad - good > max(1, int(precision * good)):
        tried = (good + bad) // 2
        if holds(tried):
            good = tried
        else:
            bad = tried
    return good


EPILOG = """
\b
Examples:
  wsfast-bench search ws://localhost:8000/ --while 'p99<20ms' --to 100k
  wsfast-bench search ws://localhost:8000/ --while 'p99<50ms' --over connections -r 1k --from 1k
"""


@click.command("search", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", required=False)
@click.option(
    "--while",
    "conditions",
    multiple=True,
    required=True,
    callback=each(parse_threshold),
    metavar="COND",
    help="What must hold: p99<20ms; several times if you like.",
)
@click.option(
    "--over",
    type=click.Choice(["rate", "connections"]),
    default="rate",
    show_default=True,
    help="What is searched.",
)
@click.option(
    "--from",
    "lowest",
    callback=amount(parse_count, least=1),
    default="100",
    show_default=True,
    metavar="COUNT",
    help="Where to begin.",
)
@click.option(
    "--to",
    "most",
    callback=amount(parse_count, least=1),
    default="1m",
    show_default=True,
    metavar="COUNT",
    help="Where to end.",
)
@click.option(
    "--precision",
    callback=parsed(parse_percentage),
    default="5%",
    show_default=True,
    metavar="PERCENT",
    help="How near the answer is to be.",
)
@with_options(LOAD_OPTIONS, CONTENT_OPTIONS, TEMPLATE_OPTIONS, GREETING_OPTIONS)
@with_options(CONNECT_OPTIONS, HANDSHAKE_OPTIONS, TLS_OPTIONS)
def command(url: str | None, **options: Any) -> None:
    """Find the highest rate (or the most connections) at which conditions hold.

    Each number is tried with a run of --duration (5 s unless you say); one in which the generator
    was the bottleneck counts as failed. Exit status 1 if they do not even hold at --from.
    """
    if options["lowest"] > options["most"]:
        raise click.UsageError(f"--from {options['lowest']} is more than --to {options['most']}")
    fixed = {**ALONE, **options, "mode": "echo", "duration": options["duration"] or 5.0}
    fixed[options["over"]] = options["lowest"]
    check(url, fixed)
    try:
        with contextlib.ExitStack() as stack:
            if options["over"] == "connections":
                fixed["connections"] = options["most"]  # an embedded server must hold them all
            target = target_of(url, fixed, stack)
            found = highest(
                options["lowest"],
                options["most"],
                options["precision"] / 100,
                lambda number: attempt(target, {**fixed, options["over"]: number}, options),
            )
    except (CouldNotRun, OSError, ValueError) as error:
        print(f"wsfast-bench search: {error}", file=sys.stderr)
        sys.exit(EXIT_NOT_RUN)
    what = " and ".join(condition.text for condition in options["conditions"])
    if found is None:
        print(f"{what} does not hold at {format_count(options['lowest'])} {options['over']}")
        sys.exit(1)
    print(f"{what} holds up to {format_count(found)} {options['over']}")


def attempt(url: str, load: dict[str, Any], options: dict[str, Any]) -> bool:
    """One run, with a line about it; whether every condition holds.

    Raises:
        CouldNotRun, OSError: as for `measure`.
        ValueError: a condition names a figure that the run does not have.
    """
    progress = Progress(sys.stderr, quiet=True)
    document = document_of(measure(url, load, progress.update))
    outcomes = [evaluate(condition, document) for condition in options["conditions"]]
    valid = document["verdict"]["name"] != GENERATOR_BOUND
    held = valid and all(outcome.failed for outcome in outcomes)
    latency = document["latency"].get("intended") or document["latency"]["actual"]
    said = "holds" if held else "fails" if valid else "fails (GENERATOR-BOUND)"
    print(
        f"{format_count(load[options['over']]):>12}  p50 {format_duration(latency['p50']):>8}  "
        f"p99 {format_duration(latency['p99']):>8}  {said}",
        flush=True,
    )
    return held
