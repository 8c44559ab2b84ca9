"""`wsfast-bench serve`: a test server on the command line."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from wsfast.loadgen.faults import Faults, FaultyServer
from wsfast.loadgen.units import parse_bytes, parse_duration

__all__ = ["command", "parse_delays", "parse_share", "parse_stall"]


def parse_delays(text: str) -> tuple[tuple[float, float], ...]:
    """Read a delay, "5ms", or several with their weights, "1ms:9,50ms:1".

    Raises:
        ValueError: a part is no DURATION or DURATION:WEIGHT.
    """
    delays = []
    for part in text.split(","):
        duration, _, weight = part.partition(":")
        delays.append((parse_duration(duration), float(weight or 1)))
        if delays[-1][1] <= 0:
            raise ValueError(f"the weight of {part!r} is not more than 0")
    return tuple(delays)


def parse_stall(text: str) -> tuple[float, float]:
    """Read a stall, "100ms/1s": frozen for the first, once in the second.

    Raises:
        ValueError: it is no DURATION/DURATION, or longer than the time from one to the next.
    """
    length, slash, every = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} is no stall like 100ms/1s")
    stall = parse_duration(length), parse_duration(every)
    if stall[0] >= stall[1]:
        raise ValueError(f"{text!r} stalls all the time")
    return stall


def parse_share(text: str) -> float:
    """Read a share: "1%" or "0.01".

    Raises:
        ValueError: it is no number, or not within 0 to 100 %.
    """
    number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= number <= 1:
        raise ValueError(f"{text!r} is not within 0 to 100 %")
    return number


def reading(parse: Any) -> Any:
    """A callback of click that reads with `parse`."""

    def convert(ctx: Any, param: Any, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


SHARE = reading(parse_share)


EPILOG = """
\b
Examples:
  wsfast-bench serve --port 9000 --delay 5ms
  wsfast-bench serve --port 9000 --stall 100ms/1s --drop 0.1%
  wsfast-bench serve --mode broadcast
"""


@click.command("serve", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option(
    "--mode",
    type=click.Choice(["echo", "broadcast", "ticker"]),
    default="echo",
    show_default=True,
    help="Answer the sender, everybody, or nobody and send by the clock.",
)
@click.option("--delay", callback=reading(parse_delays), metavar="5ms|1ms:9,50ms:1")
@click.option(
    "--skew",
    callback=reading(parse_duration),
    metavar="1ms",
    help="A broadcast reaches each receiver so much after the one before.",
)
@click.option("--stall", callback=reading(parse_stall), metavar="100ms/1s", help="Freeze.")
@click.option("--drop", callback=SHARE, default="0", metavar="SHARE", help="Not answered.")
@click.option("--duplicate", callback=SHARE, default="0", metavar="SHARE", help="Twice.")
@click.option("--reorder", callback=SHARE, default="0", metavar="SHARE", help="One late.")
@click.option("--corrupt", callback=SHARE, default="0", metavar="SHARE", help="Changed.")
@click.option("--foreign", callback=SHARE, default="0", metavar="SHARE", help="And one more.")
@click.option("--rate", type=float, default=10.0, show_default=True, help="Ticks a second.")
@click.option("--size", callback=reading(parse_bytes), default="20", help="Bytes of a tick.")
@click.option("--seed", type=int, default=0, help="Of what goes wrong.")
def command(host: str, port: int, mode: str, rate: float, size: int, **options: Any) -> None:
    """Run a test server until SIGINT or SIGTERM; SHARE is like 1% or 0.01."""
    if rate <= 0:
        raise click.BadParameter(f"{rate} is not more than 0", param_hint="--rate")
    stall = options.pop("stall") or (0.0, 0.0)
    faults = Faults(
        delays=options.pop("delay") or (),
        skew_seconds=options.pop("skew") or 0.0,
        stall_seconds=stall[0],
        stall_every_seconds=stall[1],
        **options,
    )
    try:
        server = FaultyServer(host, port, mode=mode, faults=faults, rate=rate, tick_bytes=size)
    except OSError as error:
        print(f"wsfast-bench serve: {error}", file=sys.stderr)
        sys.exit(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    shown = f"[{server.address[0]}]" if ":" in host else server.address[0]
    print(f"listening on ws://{shown}:{server.address[1]}/", flush=True)
    server.run()
