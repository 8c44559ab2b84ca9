"""`wsfast-bench connect`: how fast a server takes connections, and how well it holds them."""

from __future__ import annotations

import sys
from typing import Any

import click

from wsfast.loadgen.command import ALONE, check, run
from wsfast.loadgen.fanning import MARK_BYTES
from wsfast.loadgen.options import (
    CONNECT_OPTIONS,
    GREETING_OPTIONS,
    HANDSHAKE_OPTIONS,
    RESULT_OPTIONS,
    amount,
    with_options,
)
from wsfast.loadgen.tlsoptions import TLS_OPTIONS
from wsfast.loadgen.units import Sizes, parse_duration

__all__ = ["command"]

#: Nothing is sent.
SILENT = {
    "in_flight": 1,
    "rate": None,
    "stages": None,
    "arrivals": "constant",
    "think": None,
    "size": Sizes(MARK_BYTES),
    "verify": "none",
    "warmup": None,
    "text": False,
    "messages": None,
    "seed": None,
}


EPILOG = """
\b
Examples:
  wsfast-bench connect ws://localhost:8000/ -c 10k
  wsfast-bench connect ws://localhost:8000/ -c 5k --connect-rate 1k --hold 30s --churn 5s
"""


@click.command("connect", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", required=False)
@click.option(
    "-d",
    "--hold",
    "duration",
    callback=amount(parse_duration),
    metavar="DURATION",
    default="1s",
    show_default=True,
    help="How long to hold them once all are open.",
)
@click.option(
    "--churn",
    "lifetime",
    callback=amount(parse_duration),
    metavar="DURATION",
    help="Meanwhile close each after half of it to all of it, and open it again.",
)
@with_options(GREETING_OPTIONS, CONNECT_OPTIONS, HANDSHAKE_OPTIONS, TLS_OPTIONS, RESULT_OPTIONS)
def command(url: str | None, **options: Any) -> None:
    """Open connections as fast as they come (or at --connect-rate), hold them, close them.

    Reports how many opened in a second, the time from connect() to the checked 101, and what
    ended connections that were to be held.
    """
    options = {**ALONE, **SILENT, **options, "mode": "connect"}
    check(url, options)
    sys.exit(run(url, options))
