"""The options of wsfast-bench that several commands share, and how their values are read.

What the messages hold is in contentoptions.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from wsfast.loadgen.compare import load
from wsfast.loadgen.export import check_path
from wsfast.loadgen.plan import MAX_IN_FLIGHT
from wsfast.loadgen.thresholds import parse_threshold
from wsfast.loadgen.units import (
    parse_count,
    parse_duration,
    parse_stages,
)

__all__ = [
    "CONNECT_OPTIONS",
    "GREETING_OPTIONS",
    "HANDSHAKE_OPTIONS",
    "LOAD_OPTIONS",
    "RESULT_OPTIONS",
    "Answers",
    "amount",
    "each",
    "parse_address",
    "parse_answers",
    "parse_percentage",
    "parsed",
    "read_first",
    "read_text",
    "with_options",
]

Decorator = Callable[[Any], Any]


def amount(
    parse: Callable[[str], float], least: float = 0, most: float = math.inf
) -> Callable[..., float | None]:
    """A callback of click that reads an amount with its unit.

    Args:
        parse: one of `wsfast.loadgen.units`.
        least: what is less than this is a usage error.
        most: and what is more than this.
    """

    def convert(ctx: Any, param: Any, text: str | None) -> float | None:
        if text is None:
            return None
        try:
            number = parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        if number < least:
            raise click.BadParameter(f"{text} is less than {least}")
        if number > most:
            raise click.BadParameter(f"{text} is more than {most}")
        return number

    return convert


COUNT = amount(parse_count, least=1)
IN_FLIGHT = amount(parse_count, least=1, most=MAX_IN_FLIGHT)
RATE = amount(parse_count, least=1)
DURATION = amount(parse_duration)


def parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """A callback of click that reads something with a grammar of its own."""

    def convert(ctx: Any, param: Any, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


def parse_cpus(ctx: Any, param: Any, text: str | None) -> tuple[int, ...]:
    """The numbers of --cpu; a usage error if the process may not run there."""
    if text is None:
        return ()
    try:
        cpus = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of CPU numbers like 1 or 0,2") from None
    missing = set(cpus) - os.sched_getaffinity(0)
    if missing:
        raise click.BadParameter(f"this process may not use CPU {min(missing)}")
    return cpus


def each(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """A callback of click for an option that comes several times."""

    def convert(ctx: Any, param: Any, texts: Sequence[str]) -> list[Any]:
        return [parsed(parse)(ctx, param, text) for text in texts]

    return convert


def parse_header(text: str) -> tuple[str, str]:
    """Read "Name: value".

    Raises:
        ValueError: there is no colon, or nothing in front of it.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"{text!r} is no header like 'Authorization: Bearer {{token}}'")
    return name.strip(), value.strip()


def read_tokens(path: str) -> list[str]:
    """The lines of a file; empty ones do not count.

    Raises:
        ValueError: it cannot be read, or is empty.
    """
    lines = read_text(path).split("\n")
    tokens = [line.strip() for line in lines if line.strip()]
    if not tokens:
        raise ValueError(f"{path} holds no token")
    return tokens


class Answers(NamedTuple):
    """What answers a first message.

    Attributes:
        messages: so many.
        prefix: which begin with this; None: with anything.
    """

    messages: int
    prefix: str | None = None


def parse_answers(text: str) -> Answers:
    """Read "2", or "prefix:{\"ok\"" (one message that begins so).

    Raises:
        ValueError: it is neither.
    """
    if text.startswith("prefix:") and text != "prefix:":
        return Answers(1, text.removeprefix("prefix:"))
    if not text.isdecimal() or not text.isascii() or int(text) >= 1 << 31:
        raise ValueError(f"{text!r} is neither a number of messages nor prefix:TEXT")
    return Answers(int(text))


def read_first(text: str) -> str:
    """A first message: what was given, or what the file holds that follows an @.

    Raises:
        ValueError: the file cannot be read, or holds no text.
    """
    return read_text(text[1:]) if text.startswith("@") else text


def read_text(path: str) -> str:
    """The text of a file.

    Raises:
        ValueError: it cannot be read, or is no UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8: {error}") from None


def parse_percentage(text: str) -> float:
    """Read "10%" or "10".

    Raises:
        ValueError: it is no number, or negative.
    """
    number = float(text.removesuffix("%"))
    if not number >= 0:
        raise ValueError(f"{text!r} is less than 0")
    return number


def parse_address(text: str) -> tuple[str, int]:
    """Read "127.0.0.1:9100" or ":9100" (every address).

    Raises:
        ValueError: it is no [HOST]:PORT.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is no [HOST]:PORT")
    return host, int(port)


LOAD_OPTIONS = (
    click.option(
        "-d",
        "--duration",
        callback=DURATION,
        metavar="DURATION",
        help="How long to send.  [default: 10s, or until -n is reached]",
    ),
    click.option(
        "-n",
        "--messages",
        callback=COUNT,
        metavar="COUNT",
        help="How many messages to send in all.",
    ),
    click.option(
        "-r",
        "--rate",
        callback=RATE,
        metavar="RATE",
        help="Messages a second, on a schedule (open loop).  [default: closed loop]",
    ),
    click.option(
        "--arrivals",
        type=click.Choice(["constant", "poisson"]),
        default="constant",
        show_default=True,
        help="How the messages of a schedule are spaced.",
    ),
    click.option(
        "--stages",
        callback=parsed(parse_stages),
        metavar="D:RATE,...",
        help="Ramps of the rate from -r (or 0) on: 30s:1k,2m:10k.",
    ),
    click.option(
        "--warmup",
        callback=DURATION,
        metavar="DURATION",
        help="Time in front of the window, measured apart.  [default: none]",
    ),
    click.option(
        "--think",
        callback=DURATION,
        metavar="DURATION",
        help="Time from an answer to the next message of its connection (closed loop).",
    ),
    click.option(
        "--lifetime",
        callback=DURATION,
        metavar="DURATION",
        help="Close a connection after half of it to all of it, and open it again.",
    ),
    click.option(
        "--seed", type=int, help="Of contents, sizes and Poisson gaps.  [default: a new one]"
    ),
    click.option(
        "-p",
        "--in-flight",
        callback=IN_FLIGHT,
        metavar="COUNT",
        default="1",
        show_default=True,
        help="Messages that each connection keeps under way.",
    ),
)

CONNECT_OPTIONS = (
    click.option(
        "-c",
        "--connections",
        callback=COUNT,
        metavar="COUNT",
        default="100",
        show_default=True,
        help="Connections to open.",
    ),
    click.option(
        "--reconnect", is_flag=True, help="Open a connection again when the server ended it."
    ),
    click.option(
        "-w",
        "--workers",
        callback=COUNT,
        metavar="COUNT",
        help="Generator processes.  [default: as few as the descriptor limit allows]",
    ),
    click.option(
        "--connect-rate", callback=COUNT, metavar="COUNT", help="Connections to open in a second."
    ),
    click.option(
        "--connect-timeout",
        callback=DURATION,
        metavar="DURATION",
        default="10s",
        show_default=True,
        help="Deadline of one connection, up to the 101.",
    ),
    click.option(
        "--drain",
        callback=DURATION,
        metavar="DURATION",
        default="2s",
        show_default=True,
        help="How long to wait for the last answers.",
    ),
    click.option(
        "--bind",
        default="auto",
        show_default=True,
        metavar="auto|none|ADDR,...",
        help="Source addresses; auto spreads over 127.0.0.0/8 on loopback.",
    ),
    click.option(
        "--cpu",
        callback=parse_cpus,
        metavar="N,...",
        help="Pin the workers to these CPUs, and an embedded server to the others.",
    ),
    click.option(
        "--target-pid",
        type=click.IntRange(min=1),
        metavar="PID",
        help="Process to read CPU time of (with its children).",
    ),
)

GREETING_OPTIONS = (
    click.option(
        "--first-message",
        "subscribe",
        callback=parsed(read_first),
        metavar="TEXT|@FILE",
        help="What each connection sends first (a login); {number} is that of the connection.",
    ),
    click.option(
        "--first-answers",
        "subscribe_answers",
        callback=parsed(parse_answers),
        default="1",
        show_default=True,
        metavar="COUNT|prefix:TEXT",
        help="Messages that answer it, or what the one begins with; they are awaited, and count "
        "for nothing.",
    ),
)

HANDSHAKE_OPTIONS = (
    click.option(
        "-H",
        "--header",
        "headers",
        multiple=True,
        callback=each(parse_header),
        metavar="NAME: VALUE",
        help="A header of the handshake; {token} stands for a token.",
    ),
    click.option(
        "--cookie", "cookies", multiple=True, metavar="NAME=VALUE", help="A cookie to send."
    ),
    click.option("--origin", metavar="ORIGIN", help="The Origin header."),
    click.option(
        "--subprotocol", "subprotocols", multiple=True, metavar="NAME", help="One to offer."
    ),
    click.option(
        "--tokens",
        callback=parsed(read_tokens),
        metavar="FILE",
        help="Lines, one for each connection: what {token} in the URL or a header stands for.",
    ),
)


RESULT_OPTIONS = (
    click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        callback=each(check_path),
        metavar="FILE",
        help="Write the results: .json .csv .hgrm .hlog .prom; several times if you like.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table."),
    click.option(
        "--fail-if",
        "conditions",
        multiple=True,
        callback=each(parse_threshold),
        metavar="COND",
        help="Exit with 99 if it holds: p99>20ms, errors>0.1%, throughput<10k.",
    ),
    click.option(
        "--baseline",
        callback=parsed(load),
        metavar="FILE",
        help="The JSON of an earlier run, to hold.",
    ),
    click.option(
        "--max-regress",
        callback=parsed(parse_percentage),
        default="10%",
        show_default=True,
        metavar="PERCENT",
        help="How much worse than the baseline p50, p99 and throughput may be.",
    ),
    click.option("--strict", is_flag=True, help="Exit with 3 unless the verdict is VALID."),
    click.option(
        "--prom-listen",
        callback=parsed(parse_address),
        metavar="[HOST]:PORT",
        help="Serve the progress as metrics of Prometheus.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress."),
)


def with_options(*groups: Sequence[Decorator]) -> Decorator:
    """A decorator that adds groups of options in the order in which they stand."""

    def decorate(function: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate
