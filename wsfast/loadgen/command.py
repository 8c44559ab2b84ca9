"""The command line of wsfast-bench: options, and what the program exits with."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from wsfast.echo.limits import raise_descriptor_limit
from wsfast.errors import InvalidURL
from wsfast.loadgen.coordinator import Coordinator, CouldNotRun
from wsfast.loadgen.document import document_of
from wsfast.loadgen.embedded import EchoServer
from wsfast.loadgen.plan import MAX_IN_FLIGHT, Plan, choose_sources, resolve, split, workers_for
from wsfast.loadgen.report import Progress, failure, print_results
from wsfast.loadgen.results import Results
from wsfast.loadgen.units import (
    Sizes,
    parse_count,
    parse_duration,
    parse_sizes,
    parse_stages,
)
from wsfast.url import parse_url

__all__ = ["EXIT_INTERRUPTED", "EXIT_NOT_RUN", "command"]

#: Payload bytes of a message: the generator holds one, and a server would hold many.
MAX_SIZE = 1 << 30

EXIT_NOT_RUN = 1
EXIT_INTERRUPTED = 130


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


def payload_sizes(text: str) -> Sizes:
    """The sizes of -s.

    Raises:
        ValueError: they are none, or more than a message may have.
    """
    sizes = parse_sizes(text)
    if sizes.most > MAX_SIZE:
        raise ValueError(f"{text} is more than {MAX_SIZE}")
    return sizes


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


EPILOG = """
\b
Amounts: counts 500 10k 5m, sizes 20 16k 1mib, durations 500ms 2s 5m.
\b
Examples:
  wsfast-bench -c 100 -d 5s                     against an echo server of its own
  wsfast-bench ws://localhost:8000/ -c 10k -p 4
  wsfast-bench ws://localhost:8000/ -c 1k -r 20k -d 1m --warmup 5s
  wsfast-bench ws://localhost:8000/ --stages 30s:1k,2m:10k --arrivals poisson
  wsfast-bench ws://10.0.0.5/ws -n 1m -s 1k --json > result.json
\b
Exit status: 0 measured, 1 nothing measured, 2 usage, 130 interrupted (results are printed).
"""


@click.command("echo", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", required=False)
@click.option(
    "-c",
    "--connections",
    callback=COUNT,
    metavar="COUNT",
    default="100",
    show_default=True,
    help="Connections to open.",
)
@click.option(
    "-d",
    "--duration",
    callback=DURATION,
    metavar="DURATION",
    help="How long to send.  [default: 10s, or until -n is reached]",
)
@click.option(
    "-n", "--messages", callback=COUNT, metavar="COUNT", help="How many messages to send in all."
)
@click.option(
    "-s",
    "--size",
    callback=parsed(payload_sizes),
    metavar="SIZE",
    default="20",
    show_default=True,
    help="Payload bytes of a message: 512, 20-2k, or exp:512 (the mean).",
)
@click.option(
    "-r",
    "--rate",
    callback=RATE,
    metavar="RATE",
    help="Messages a second, on a schedule (open loop).  [default: closed loop]",
)
@click.option(
    "--arrivals",
    type=click.Choice(["constant", "poisson"]),
    default="constant",
    show_default=True,
    help="How the messages of a schedule are spaced.",
)
@click.option(
    "--stages",
    callback=parsed(parse_stages),
    metavar="D:RATE,...",
    help="Ramps of the rate from -r (or 0) on: 30s:1k,2m:10k.",
)
@click.option(
    "--warmup",
    callback=DURATION,
    metavar="DURATION",
    help="Time in front of the window, measured apart.  [default: none]",
)
@click.option(
    "--think",
    callback=DURATION,
    metavar="DURATION",
    help="Time from an answer to the next message of its connection (closed loop).",
)
@click.option(
    "--verify",
    type=click.Choice(["none", "length", "full"]),
    default="full",
    show_default=True,
    help="What makes a message an answer.",
)
@click.option(
    "--seed", type=int, help="Of contents, sizes and Poisson gaps.  [default: a new one]"
)
@click.option(
    "-p",
    "--in-flight",
    callback=IN_FLIGHT,
    metavar="COUNT",
    default="1",
    show_default=True,
    help="Messages that each connection keeps under way.",
)
@click.option(
    "-w",
    "--workers",
    callback=COUNT,
    metavar="COUNT",
    help="Generator processes.  [default: as few as the descriptor limit allows]",
)
@click.option("-t", "--text", is_flag=True, help="Send text messages instead of binary ones.")
@click.option(
    "--connect-rate", callback=COUNT, metavar="COUNT", help="Connections to open in a second."
)
@click.option(
    "--connect-timeout",
    callback=DURATION,
    metavar="DURATION",
    default="10s",
    show_default=True,
    help="Deadline of one connection, up to the 101.",
)
@click.option(
    "--drain",
    callback=DURATION,
    metavar="DURATION",
    default="2s",
    show_default=True,
    help="How long to wait for the last answers.",
)
@click.option(
    "--bind",
    default="auto",
    show_default=True,
    metavar="auto|none|ADDR,...",
    help="Source addresses; auto spreads over 127.0.0.0/8 on loopback.",
)
@click.option(
    "--cpu",
    callback=parse_cpus,
    metavar="N,...",
    help="Pin the workers to these CPUs, and an embedded server to the others.",
)
@click.option(
    "--target-pid",
    type=click.IntRange(min=1),
    metavar="PID",
    help="Process to read CPU time of (with its children).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(url: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure a WebSocket echo server, every answer checked.

    With --rate messages are due on a schedule, whatever the server does (open loop); else each
    connection sends its next message when it was answered (closed loop).

    Without URL it starts wsfast-echo on a free port and measures that.
    """
    check(url, options)
    progress = Progress(sys.stderr, quiet=quiet)
    try:
        with contextlib.ExitStack() as stack:
            if url is None:
                server = stack.enter_context(EchoServer(options["connections"], options["cpu"]))
                url = server.url
                options["target_pid"] = options["target_pid"] or server.pid
            results = measure(url, options, progress)
    except (CouldNotRun, OSError) as error:
        print(f"wsfast-bench: {error}", file=sys.stderr)
        sys.exit(EXIT_NOT_RUN)
    except KeyboardInterrupt as error:  # before there was a run, or a second time within it
        print(f"wsfast-bench: {str(error) or 'interrupted'}", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(finish(results, as_json))


def check(url: str | None, options: dict[str, Any]) -> None:
    """Refuse what cannot be meant, before anything is started.

    Raises:
        click.UsageError: with the option and the limit.
    """
    check_load(options)
    for name in ("connections", "messages"):
        least = options["workers"] or 1
        if options[name] is not None and options[name] < least:
            raise click.UsageError(f"--{name} {options[name]} is less than --workers {least}")
    if url is None:
        return
    try:
        parts = parse_url(url)
    except InvalidURL as error:
        raise click.UsageError(str(error)) from None
    if parts.secure:
        raise click.UsageError("wss:// needs TLS, which wsfast-bench does not speak; use ws://")


def check_load(options: dict[str, Any]) -> None:
    """Refuse a load that contradicts itself, and fill in what follows from the rest.

    Raises:
        click.UsageError: with the option and the rule.
    """
    stages, rate = options["stages"], options["rate"]
    if stages is not None:
        if options["duration"] is not None:
            raise click.UsageError("--duration does not go with --stages, which say it")
        options["duration"] = sum(seconds for seconds, _ in stages)
        if rate is None:
            rate = options["rate"] = 0.0
    elif options["messages"] is None and options["duration"] is None:
        options["duration"] = 10.0
    if rate is not None and options["think"] is not None:
        raise click.UsageError("--think is of a closed loop; --rate and --stages make it open")
    if rate is not None and options["in_flight"] != 1:
        raise click.UsageError("--in-flight is of a closed loop; --rate and --stages make it open")
    if rate is None and options["arrivals"] != "constant":
        raise click.UsageError("--arrivals is of an open loop; it needs --rate or --stages")


def measure(url: str, options: dict[str, Any], progress: Progress) -> Results:
    """Run the measurement that the options ask for.

    Raises:
        CouldNotRun: the processes asked for cannot hold the connections, or one died or hung.
        KeyboardInterrupt: the user interrupted a second time.
        OSError: the name of the server is not known, or no process can be started.
        click.UsageError: the source addresses do not go with the target.
    """
    parts = parse_url(url)
    address = resolve(parts.host, parts.port)
    connections = options["connections"]
    try:
        sources = choose_sources(options["bind"], address, connections)
    except ValueError as error:
        raise click.UsageError(f"--bind: {error}") from None
    plan = Plan(
        url=url,
        address=address,
        port=parts.port,
        connections=connections,
        in_flight=options["in_flight"],
        rate=options["rate"],
        stages=options["stages"] or (),
        arrivals=options["arrivals"],
        think_seconds=options["think"] or 0.0,
        size=options["size"].most,
        least_size=options["size"].least,
        mean_size=options["size"].mean,
        verify=options["verify"],
        warmup_seconds=options["warmup"] or 0.0,
        text=options["text"],
        seconds=options["duration"],
        messages=options["messages"],
        connect_rate=options["connect_rate"],
        sources=sources,
        connect_seconds=options["connect_timeout"],
        drain_seconds=options["drain"],
        seed=time.time_ns() & 0xFFFFFFFF if options["seed"] is None else options["seed"],
    )
    workers = choose_workers(connections, options)
    settings = {**plan.to_dict(), "workers": workers, "cpus": options["cpu"]}
    for of_one_worker in ("first", "cpu", "opening", "phase"):
        del settings[of_one_worker]
    coordinator = Coordinator(
        split(plan, workers, options["cpu"]),
        settings=settings,
        target_pid=options["target_pid"],
        on_progress=progress.update,
    )
    try:
        return coordinator.run()
    finally:
        progress.close()


def choose_workers(connections: int, options: dict[str, Any]) -> int:
    """The number of processes: what was asked for, or what the descriptor limit takes.

    Raises:
        CouldNotRun: the processes asked for cannot hold so many connections.
    """
    limit = raise_descriptor_limit()
    needed = workers_for(connections, limit)
    asked: int | None = options["workers"]
    if asked is not None and asked < needed:
        raise CouldNotRun(
            f"{asked} worker(s) cannot hold {connections:,} connections: a process may open "
            f"{limit:,} descriptors here; use -w {needed}"
        )
    return asked or needed


def finish(results: Results, as_json: bool) -> int:
    """Print the results, and why there are none if so; the exit status."""
    reason = None if results.interrupted else failure(results)
    if as_json:
        json.dump(document_of(results), sys.stdout, indent=2)
        print()
    elif results.counts["opened"] or results.interrupted:
        print_results(results, sys.stdout)
    if reason is not None:
        print(f"wsfast-bench: {reason}", file=sys.stderr)
        return EXIT_NOT_RUN
    return EXIT_INTERRUPTED if results.interrupted else 0
