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

from wsfast import __version__
from wsfast.echo.limits import raise_descriptor_limit
from wsfast.errors import InvalidURL
from wsfast.loadgen.coordinator import Coordinator, CouldNotRun
from wsfast.loadgen.embedded import EchoServer
from wsfast.loadgen.plan import MAX_IN_FLIGHT, Plan, choose_sources, resolve, split, workers_for
from wsfast.loadgen.report import Progress, failure, print_results
from wsfast.loadgen.results import Results
from wsfast.loadgen.units import parse_bytes, parse_count, parse_duration
from wsfast.url import parse_url

__all__ = ["EXIT_INTERRUPTED", "EXIT_NOT_RUN", "bench"]

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
SIZE = amount(parse_bytes, most=MAX_SIZE)
DURATION = amount(parse_duration)


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
  wsfast-bench ws://10.0.0.5/ws -n 1m -s 1k --json > result.json
\b
Exit status: 0 measured, 1 nothing measured, 2 usage, 130 interrupted (results are printed).
"""


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
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
    callback=SIZE,
    metavar="SIZE",
    default="20",
    show_default=True,
    help="Payload bytes of a message.",
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
@click.version_option(__version__, prog_name="wsfast-bench")
def bench(url: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure a WebSocket echo server: closed loop, every answer checked.

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
    if options["messages"] is None and options["duration"] is None:
        options["duration"] = 10.0
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
        size=options["size"],
        text=options["text"],
        seconds=options["duration"],
        messages=options["messages"],
        connect_rate=options["connect_rate"],
        sources=sources,
        connect_seconds=options["connect_timeout"],
        drain_seconds=options["drain"],
        seed=time.time_ns() & 0xFFFFFFFF,
    )
    workers = choose_workers(connections, options)
    settings = {**plan.to_dict(), "workers": workers, "cpus": options["cpu"]}
    for of_one_worker in ("first", "cpu", "opening"):
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
        json.dump(results.to_dict(), sys.stdout, indent=2)
        print()
    elif results.counts["opened"] or results.interrupted:
        print_results(results, sys.stdout)
    if reason is not None:
        print(f"wsfast-bench: {reason}", file=sys.stderr)
        return EXIT_NOT_RUN
    return EXIT_INTERRUPTED if results.interrupted else 0
