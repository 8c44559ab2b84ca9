"""What heartbeats cost: CPU time and memory of a server whose connections are idle.

    python bench/idle.py [--connections 19000] [--seconds 50] [--interval 25]

Server and client are processes of their own, on one CPU each. The client holds all connections and
answers pings, and sends nothing of its own. Two servers take turns: one with heartbeats, and one
without, so that what is left of the system's noise can be seen.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.limits import Limits
from wsfast.loop import Loop
from wsfast.server import Server

__all__ = ["Cost", "main"]

SERVER_CPU, CLIENT_CPU = 0, 1
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BATCH = 200

#: What issue 5 asks for.
MAX_SHARE = 0.01
MAX_KIB = 1.0


class Cost(NamedTuple):
    """What idle connections cost.

    Attributes:
        share: of one core, of the server, while all were idle.
        kib: growth of the server's resident memory, KiB for each connection, at the end.
        pings: heartbeats sent in that time.
    """

    share: float
    kib: float
    pings: int


class Silent:
    """A handler that only counts; pings are answered by the engine."""

    def __init__(self) -> None:
        self.opened = self.ended = 0

    def on_open(self, ws: Endpoint) -> None:
        self.opened += 1

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        self.ended += 1

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        self.ended += 1


def resident() -> int:
    """Bytes of memory that this process holds (VmRSS)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def serve(pipe: Connection, interval: float | None) -> None:
    """The server process: tells its port, then on each request its counters."""
    os.sched_setaffinity(0, {SERVER_CPU})
    limits = Limits(ping_interval_seconds=interval)
    server = Server(Silent(), "127.0.0.1", 0, origins=None, limits=limits)
    pipe.send(server.addresses[0][1])
    while True:
        server.loop.run_while(lambda: not pipe.poll(), 0.5)
        if pipe.poll():
            if pipe.recv() is None:
                os._exit(0)
            stats = server.settings.stats
            pipe.send((resident(), time.process_time(), stats["opened"], stats["pings_sent"]))


def hold(pipe: Connection, port: int, connections: int) -> None:
    """The client process: opens all connections, says so, and answers pings until told to end."""
    os.sched_setaffinity(0, {CLIENT_CPU})
    loop, limits = Loop(), Limits(ping_interval_seconds=None, opening_seconds=60)
    url = f"ws://127.0.0.1:{port}/"
    handler, held = Silent(), []
    for n in range(connections):
        held.append(connect(url, handler, loop=loop, limits=limits))
        if n % BATCH == 0:
            loop.selector.select(0)
    loop.run_while(lambda: handler.opened + handler.ended < connections, 60)
    pipe.send(handler.opened - handler.ended)
    while not pipe.poll():
        loop.run_while(lambda: not pipe.poll(), 0.5)
    pipe.send(handler.opened - handler.ended)
    os._exit(0)


def ask(pipe: Connection) -> tuple[int, float, int, int]:
    """The server's resident bytes, CPU seconds, connections and heartbeats."""
    pipe.send(True)
    answer: tuple[int, float, int, int] = pipe.recv()
    return answer


def cost(connections: int, seconds: float, interval: float | None) -> Cost:
    """Measure one server.

    Raises:
        RuntimeError: not all connections opened, or some did not live to the end.
    """
    context = multiprocessing.get_context("spawn")
    (server_end, server), (client_end, client) = context.Pipe(), context.Pipe()
    processes = [context.Process(target=serve, args=(server_end, interval), daemon=True)]
    processes[0].start()
    port = server.recv()
    processes.append(
        context.Process(target=hold, args=(client_end, port, connections), daemon=True)
    )
    before = ask(server)
    processes[1].start()
    opened = client.recv()
    start = ask(server)
    time.sleep(seconds)
    end = ask(server)
    client.send(None)
    alive = client.recv()
    server.send(None)
    for process in processes:
        process.join()
    if not opened == alive == end[2] == connections:
        raise RuntimeError(f"of {connections:,} connections {opened:,} opened, {alive:,} lived")
    return Cost((end[1] - start[1]) / seconds, (end[0] - before[0]) / connections / 1024, end[3])


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What heartbeats of idle connections cost.")
    parser.add_argument("--connections", type=int, default=19_000, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=50.0, help="to measure (%(default)s)")
    parser.add_argument("--interval", type=float, default=25.0, help="of pings (%(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both costs; 1 if heartbeats cost more than they may."""
    chosen = options(arguments)
    print(f"{chosen.connections:,} idle connections, {chosen.seconds:g} s\n")
    print(f"{'heartbeats':>16} {'CPU of a core':>14} {'KiB each':>9} {'pings':>8}")
    holds = True
    for name, interval in (("off", None), (f"{chosen.interval:g} s", chosen.interval)):
        taken = cost(chosen.connections, chosen.seconds, interval)
        holds = holds and taken.share <= MAX_SHARE and taken.kib <= MAX_KIB
        print(f"{name:>16} {taken.share:14.3%} {taken.kib:9.2f} {taken.pings:8,}")
    print(f"{'target':>16} {MAX_SHARE:14.3%} {MAX_KIB:9.2f}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
