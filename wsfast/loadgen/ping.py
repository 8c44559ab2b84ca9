"""`wsfast-bench ping` and `idle`: round trips of control frames, and connections that are held."""

from __future__ import annotations

import sys
from typing import Any

import click

from wsfast.loadgen.command import ALONE, check, run
from wsfast.loadgen.contentoptions import CONTENT_OPTIONS
from wsfast.loadgen.options import (
    CONNECT_OPTIONS,
    GREETING_OPTIONS,
    HANDSHAKE_OPTIONS,
    LOAD_OPTIONS,
    RESULT_OPTIONS,
    Answers,
    amount,
    with_options,
)
from wsfast.loadgen.tlsoptions import TLS_OPTIONS
from wsfast.loadgen.units import Sizes, parse_duration
from wsfast.rfc6455 import MAX_CONTROL_PAYLOAD

__all__ = ["command", "idle"]

CONTEXT = {"help_option_names": ["-h", "--help"]}

PING_EPILOG = """
\b
Examples:
  wsfast-bench ping ws://localhost:8000/ -c 100 -d 5s
  wsfast-bench ping ws://localhost:8000/ -c 1k -r 10k --fail-if 'p99>5ms'
"""

IDLE_EPILOG = """
\b
Examples:
  wsfast-bench idle ws://localhost:8000/ -c 20k -d 10m --ping-interval 30s
  wsfast-bench idle ws://localhost:8000/ -c 5k --reconnect --target-pid 4711
"""

#: What `idle` does not ask for: pings on a schedule, a short one for each connection.
IDLE = {
    "in_flight": 1,
    "stages": None,
    "arrivals": "constant",
    "think": None,
    "size": Sizes(8),
    "verify": "full",
    "warmup": None,
    "text": False,
    "messages": None,
    "lifetime": None,
    "seed": None,
    "subscribe": None,
    "subscribe_answers": Answers(0),
}


@click.command("ping", epilog=PING_EPILOG, context_settings=CONTEXT)
@click.argument("url", required=False)
@with_options(LOAD_OPTIONS, CONTENT_OPTIONS, GREETING_OPTIONS)
@with_options(CONNECT_OPTIONS, HANDSHAKE_OPTIONS, TLS_OPTIONS, RESULT_OPTIONS)
def command(url: str | None, **options: Any) -> None:
    """Measure the round trip of ping and pong (RFC 6455 section 5.5.2).

    A server answers them below the application: next to `echo` this tells what the application
    adds. It may answer only the newest of several pings; those before it then count as lost.
    """
    options = {**ALONE, **options, "mode": "ping"}
    check(url, options)
    if options["size"].most > MAX_CONTROL_PAYLOAD:
        raise click.UsageError(
            f"--size {options['size'].most} is more than the {MAX_CONTROL_PAYLOAD} bytes that a "
            "ping may hold (RFC 6455 section 5.5)"
        )
    sys.exit(run(url, options))


@click.command("idle", epilog=IDLE_EPILOG, context_settings=CONTEXT)
@click.argument("url", required=False)
@click.option(
    "-d",
    "--duration",
    callback=amount(parse_duration),
    metavar="DURATION",
    default="1m",
    show_default=True,
    help="How long to hold the connections.",
)
@click.option(
    "--ping-interval",
    callback=amount(parse_duration),
    metavar="DURATION",
    default="20s",
    show_default=True,
    help="How often each connection sends a ping.",
)
@with_options(CONNECT_OPTIONS, HANDSHAKE_OPTIONS, TLS_OPTIONS, RESULT_OPTIONS)
def idle(url: str | None, ping_interval: float, **options: Any) -> None:
    """Hold connections, with a ping on each from time to time, and report those that die.

    What ends a connection, and on whose side, stands under the errors; with --reconnect it comes
    back. With --target-pid the report has the memory and the descriptors of each connection.
    """
    rate = options["connections"] / ping_interval
    options = {**ALONE, **IDLE, **options, "mode": "ping", "rate": rate}
    check(url, options)
    sys.exit(run(url, options))
