"""Many connections: 40,000 open at once, and what one costs the server in memory and CPU time.

    python bench/scale.py [--connections 40000] [--each 10000] [--only echo,picows]

The first part opens all connections to several wsfast-echo processes (a process may be allowed no
more than 20,000 descriptors), looks up how many sockets those processes hold at that moment, and
then keeps one message under way on each. When the window ends a connection that takes part has
exactly one message under way, so the answers that come after the window are as many as the
connections that answered. The second part gives each server in turn the same connections from the
same client, server and client on one CPU each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from servers import (
    SERVERS,
    Absent,
    Command,
    Running,
    available,
    end_cleanly,
    machine,
    names,
    running,
)

from wsfast.descriptors import raise_descriptor_limit
from wsfast.loadgen.coordinator import Coordinator, CouldNotRun
from wsfast.loadgen.cpu import family_of, own_seconds
from wsfast.loadgen.plan import Plan, choose_sources, split, workers_for
from wsfast.loadgen.results import Results

__all__ = ["Cost", "main"]

SERVER_CPU = 0
CLIENT_CPU = 1
WARM_UP = 100
MAX_SECONDS = 290
#: Servers of the second part, unless others are asked for.
COMPARED = ("limit", "echo", "handler", "picows", "websockets", "socketify")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

#: What issue 2 asks for.
MAX_KIB = 1.0
MAX_MICROSECONDS = 50.0
MIN_ACCEPTS = 15_000.0


def resident(pid: int) -> int:
    """Bytes of memory that a process holds (VmRSS)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def sockets(pid: int) -> int:
    """How many sockets a process and its children hold, by their descriptors."""
    held = 0
    for member in family_of(pid):
        directory = f"/proc/{member}/fd"
        for name in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError):  # closed while we looked
                held += os.readlink(f"{directory}/{name}").startswith("socket:")
    return held


def run(
    server: Running,
    connections: int,
    seconds: float,
    workers: int,
    on_connected: Callable[[], None],
    cpus: tuple[int, ...] = (),
) -> Results:
    """Open all connections, call on_connected while they are idle, then let them echo.

    Raises:
        CouldNotRun: a worker died or hung.
    """
    plan = Plan(
        url=server.url,
        address=server.host,
        port=server.port,
        connections=connections,
        seconds=seconds,
        connect_seconds=30.0,
        drain_seconds=10.0,
        sources=choose_sources("auto", server.host, connections),
    )
    waiting = [on_connected]

    def watch(now: float, sums: dict[str, int]) -> None:
        if waiting and sums["opened"] + sums["failed"] == connections:
            waiting.pop()()

    pieces = split(plan, workers, cpus)
    settings = {"url": server.url, "size": plan.size}
    results = Coordinator(pieces, settings=settings, on_progress=watch).run()
    if results.interrupted:
        raise KeyboardInterrupt
    return results


def answered(results: Results) -> int:
    """How many connections answered to the end of the window; see the head of the file."""
    return results.counts["received"] - results.counts["measured"]


def hold(connections: int, seconds: float) -> bool:
    """The first part; whether all connections opened and answered."""
    workers = workers_for(connections, raise_descriptor_limit())
    command = SERVERS["echo"]()
    held: list[int] = []
    with running(command, arguments=("--workers", str(workers))) as server:
        results = run(
            server, connections, seconds, workers, lambda: held.append(sockets(server.pid))
        )
    counts = results.counts
    errors = results.server_errors + results.generator_errors
    print(f"\n{connections:,} connections to wsfast-echo --workers {workers}")
    print(f"  opened              {counts['opened']:>10,} in {results.connect_seconds:.1f} s")
    print(f"  sockets of servers  {sum(held):>10,} at that moment")
    print(f"  answered            {answered(results):>10,} of them")
    print(f"  messages            {counts['received']:>10,} of {counts['sent']:,} answered")
    print(f"  errors              {dict(errors) or 'none'}")
    complete = counts["opened"] == answered(results) == connections <= sum(held)
    return complete and not errors


class Cost(NamedTuple):
    """What connections cost a server.

    Attributes:
        kib: growth of its resident memory, KiB for each idle connection.
        microseconds: its CPU time for each connection: accept and opening handshake.
        opened_per_second: connections opened in a second, whoever was the bottleneck.
    """

    kib: float
    microseconds: float
    opened_per_second: float


def cost(command: Command, connections: int) -> Cost:
    """Start a server, warm it up, and open the connections.

    Raises:
        Absent: it does not start.
        CouldNotRun: not all connections opened and answered.
    """
    after: list[tuple[int, float]] = []
    with running(command, SERVER_CPU) as server:
        run(server, WARM_UP, 0.1, 1, lambda: None, (CLIENT_CPU,))
        memory, seconds = resident(server.pid), own_seconds(server.pid)
        results = run(
            server,
            connections,
            0.2,
            1,
            lambda: after.append((resident(server.pid), own_seconds(server.pid))),
            (CLIENT_CPU,),
        )
    errors = results.server_errors + results.generator_errors
    if results.counts["opened"] < connections or errors or not after:
        raise CouldNotRun(f"{results.counts['opened']:,} opened; errors: {dict(errors)}")
    return Cost(
        (after[0][0] - memory) / connections / 1024,
        (after[0][1] - seconds) / connections * 1e6,
        connections / results.connect_seconds,
    )


def costs(commands: dict[str, Command], connections: int, rounds: int) -> dict[str, list[Cost]]:
    """Let the servers take turns; one that fails is left out of the rest, and said so."""
    taken: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name in list(taken):
            try:
                taken[name].append(cost(commands[name], connections))
            except (Absent, CouldNotRun) as error:
                print(f"{name:12} left out: {error}")
                del taken[name]
    return taken


def table(taken: dict[str, list[Cost]], connections: int) -> None:
    """Print the medians with the targets of ours."""
    print(f"\nA connection, measured over {connections:,}")
    columns = f"{'KiB':>8} {'CPU us':>8} {'accepts/core':>13} {'opened/s':>10}"
    print(f"{'':12} {columns}")
    for name, runs in taken.items():
        kib, microseconds, opened = (
            statistics.median(column) for column in zip(*runs, strict=True)
        )
        accepts = 1e6 / microseconds
        verdict = ""
        if name in ("echo", "handler"):
            holds = kib <= MAX_KIB and microseconds <= MAX_MICROSECONDS and accepts >= MIN_ACCEPTS
            verdict = "" if holds else "  MISSED"
        print(
            f"{name:12} {kib:8.2f} {microseconds:8.1f} {accepts:13,.0f} {opened:10,.0f}{verdict}"
        )
    limits = f"<= {MAX_KIB:g}", f"<= {MAX_MICROSECONDS:g}", f">= {MIN_ACCEPTS:,.0f}"
    print(f"{'target':12} {limits[0]:>8} {limits[1]:>8} {limits[2]:>13}")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Many connections, and what one costs.")
    parser.add_argument("--connections", type=int, default=40_000, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of echoing (%(default)s)")
    parser.add_argument("--each", type=int, default=10_000, help="to each server (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of the second part (%(default)s)")
    parser.add_argument("--only", type=names, default=list(COMPARED), metavar="NAME,...")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Both parts; 1 if the connections of the first did not all open and answer."""
    chosen = options(arguments)
    end_cleanly(MAX_SECONDS)
    descriptors = raise_descriptor_limit()
    print(machine())
    print(f"{descriptors:,} descriptors for each process")
    complete = chosen.connections == 0 or hold(chosen.connections, chosen.seconds)
    if not complete:
        print("NOT ALL CONNECTIONS OPENED AND ANSWERED")
    print()
    if chosen.each and chosen.rounds:
        os.sched_setaffinity(0, {CLIENT_CPU})
        commands = available(chosen.only)
        table(costs(commands, chosen.each, chosen.rounds), chosen.each)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
