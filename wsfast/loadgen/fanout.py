"""`wsfast-bench fanout` and `recv`: what few send and many get, and what just comes."""

from __future__ import annotations

import sys
from typing import Any

import click

from wsfast.loadgen.command import check, run
from wsfast.loadgen.fanning import MARK_BYTES
from wsfast.loadgen.options import (
    CONNECT_OPTIONS,
    HANDSHAKE_OPTIONS,
    RESULT_OPTIONS,
    amount,
    parse_answers,
    parsed,
    read_first,
    with_options,
)
from wsfast.loadgen.tlsoptions import TLS_OPTIONS
from wsfast.loadgen.units import Sizes, parse_bytes, parse_count, parse_duration

__all__ = ["command", "recv"]

CONTEXT = {"help_option_names": ["-h", "--help"]}

FANOUT_EPILOG = """
\b
Examples:
  wsfast-bench fanout -c 1k -r 20               against a broadcast server of its own
  wsfast-bench fanout ws://localhost:8000/ -c 5k --publishers 2 --topics 10 -t \\
      --subscribe '{"sub": "{topic}"}' --subscribe-answers 1 \\
      --envelope '{"pub": "{topic}", "data": "{payload}"}' --fail-if 'reach<100%'
"""

RECV_EPILOG = """
\b
Examples:
  wsfast-bench recv ws://localhost:8000/feed -c 500 -d 1m --gap 250ms
  wsfast-bench recv ws://localhost:8000/feed --subscribe @subscribe.json
"""
DURATION = amount(parse_duration)
COUNT = amount(parse_count, least=1)

#: What these modes do not ask for.
UNASKED = {
    "in_flight": 1,
    "stages": None,
    "think": None,
    "verify": "full",
    "messages": None,
    "lifetime": None,
    "seed": None,
}

LENGTH = click.option(
    "-d",
    "--duration",
    callback=DURATION,
    metavar="DURATION",
    default="10s",
    show_default=True,
    help="How long to measure.",
)
WARMUP = click.option(
    "--warmup", callback=DURATION, metavar="DURATION", help="Time in front of it, kept apart."
)
GAP = click.option(
    "--gap",
    callback=DURATION,
    metavar="DURATION",
    default="1s",
    show_default=True,
    help="A longer time between two messages of a connection is counted as a gap.",
)
SUBSCRIBE = click.option(
    "--subscribe",
    callback=parsed(read_first),
    metavar="TEXT|@FILE",
    help="What each connection sends first; {topic} and {number} are filled in.",
)
ANSWERS = click.option(
    "--subscribe-answers",
    callback=parsed(parse_answers),
    default="0",
    show_default=True,
    metavar="COUNT|prefix:TEXT",
    help="Messages that answer it, or what the one begins with; they are awaited, and count for "
    "nothing.",
)


@click.command("fanout", epilog=FANOUT_EPILOG, context_settings=CONTEXT)
@click.argument("url", required=False)
@click.option(
    "-r",
    "--rate",
    callback=amount(parse_count, least=1),
    default="10",
    show_default=True,
    metavar="RATE",
    help="Messages a second of all publishers together.",
)
@click.option(
    "--publishers",
    callback=COUNT,
    default="1",
    show_default=True,
    metavar="COUNT",
    help="Connections that publish, beside the -c that subscribe.",
)
@click.option(
    "--topics",
    callback=COUNT,
    default="1",
    show_default=True,
    metavar="COUNT",
    help="Spread messages and subscribers over so many.",
)
@click.option(
    "--envelope",
    default="{payload}",
    show_default=True,
    metavar="TEXT",
    help="What is published; {payload} and {topic} are filled in.",
)
@click.option(
    "-s",
    "--size",
    callback=amount(parse_bytes, least=MARK_BYTES, most=16 << 20),
    default="64",
    show_default=True,
    metavar="SIZE",
    help="Bytes of {payload}.",
)
@click.option("-t", "--text", is_flag=True, help="Publish text messages instead of binary ones.")
@click.option(
    "--arrivals",
    type=click.Choice(["constant", "poisson"]),
    default="constant",
    show_default=True,
    help="How the messages are spaced.",
)
@with_options((LENGTH, WARMUP, GAP, SUBSCRIBE, ANSWERS))
@with_options(CONNECT_OPTIONS, HANDSHAKE_OPTIONS, TLS_OPTIONS, RESULT_OPTIONS)
def command(url: str | None, publishers: int, **options: Any) -> None:
    """Publish messages and measure their delivery to every subscriber.

    Latency is one-way, from when a message was due (and from when it left) to each delivery;
    beside it stands how long it took until the last subscriber had it, and how many deliveries
    came of all that were owed. All of it holds for a generator on one host, whose clock is one.
    """
    if "{payload}" not in options["envelope"]:
        raise click.UsageError(f"--envelope {options['envelope']!r} has no {{payload}}")
    options = {**UNASKED, **options, "mode": "fanout", "lanes": publishers}
    options["connections"] += publishers
    options["size"] = Sizes(options["size"])
    options["embedded"] = ["serve", "--mode", "broadcast"]
    check(url, options)
    sys.exit(run(url, options))


@click.command("recv", epilog=RECV_EPILOG, context_settings=CONTEXT)
@click.argument("url", required=False)
@with_options((LENGTH, WARMUP, GAP, SUBSCRIBE, ANSWERS))
@with_options(CONNECT_OPTIONS, HANDSHAKE_OPTIONS, TLS_OPTIONS, RESULT_OPTIONS)
def recv(url: str | None, **options: Any) -> None:
    """Connect, send nothing, and measure what comes: the time between messages, and gaps."""
    options = {
        **UNASKED,
        **options,
        "mode": "recv",
        "rate": None,
        "arrivals": "constant",
        "size": Sizes(MARK_BYTES),
        "text": False,
        "lanes": 0,
        "topics": 1,
        "envelope": "{payload}",
        "embedded": ["serve", "--mode", "ticker"],
    }
    check(url, options)
    sys.exit(run(url, options))
