"""Load generators side by side: messages for each CPU-second of the generator.

    python bench/generator.py [--rounds 10] [--seconds 6]

The server, bench/limit.c, has one CPU. The two generators share the other: they run at the same
time, but in turns of 60 ms, the one while the other is stopped (SIGSTOP), so that whatever slows
the machine down falls on both alike. The limit is bench/client.c: a frame that was built before
the run, bytes counted and nothing else, while wsfast-bench stamps and masks every message, records
every latency and checks every echo. A process is lucky with its memory or is not, by one or two
percent: each round starts both anew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from interleave import ratio
from servers import SERVERS, Absent, Running, compiled, running

__all__ = ["main"]

SERVER_CPU = 0
CLIENT_CPU = 1
CONNECTIONS = (100, 1000)
TARGET = 1.0

#: How long a generator has to start in, and to connect.
START_SECONDS = 1.0
TURN_SECONDS = 0.06


class Generator:
    """A generator that is under way, or stopped.

    Args:
        command: what starts it.
        worker: whether its only child does the work, and not it.
    """

    def __init__(self, command: list[str], *, worker: bool):
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CPU}),
        )
        time.sleep(START_SECONDS)
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        self.pid = int(children.read_text()) if worker else pid
        self.let(False)

    def let(self, run: bool) -> None:
        """Let it run, or stop it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT if run else signal.SIGSTOP)

    def said(self) -> str:
        """What it has printed when it has ended.

        Raises:
            RuntimeError: it failed.
        """
        said, _ = self.process.communicate(timeout=60)
        if self.process.returncode:
            raise RuntimeError(f"{self.process.args} ended with {self.process.returncode}")
        return said


class Client(Generator):
    """bench/client.c."""

    def __init__(self, server: Running, connections: int, seconds: float):
        command = [str(compiled("client")), str(server.port), str(connections), str(seconds)]
        super().__init__(command, worker=False)

    def rate(self) -> float:
        """Messages for each CPU-second."""
        messages, cpu, _ = map(float, self.said().split())
        return messages / cpu


class Ours(Generator):
    """wsfast-bench with one worker, as from the command line; every echo is checked."""

    def __init__(self, server: Running, connections: int, seconds: float):
        command = [sys.executable, "-m", "wsfast.loadgen", server.url, "-c", str(connections)]
        command += ["-d", f"{seconds:.3f}s", "-w", "1", "--cpu", str(CLIENT_CPU), "--json", "-q"]
        super().__init__(command, worker=True)

    def rate(self) -> float:
        """Messages for each CPU-second of the worker.

        Raises:
            RuntimeError: an echo was wrong, or a connection failed.
        """
        run = json.loads(self.said())
        if any(run["errors"].values()) or run["connections"]["failed"]:
            raise RuntimeError(f"errors: {run['errors']}, {run['connections']}")
        [worker] = run["generator"]["workers"]
        return float(run["summary"]["messages_per_second"] / (worker["cpu_percent"] / 100))


def compare(server: Running, connections: int, seconds: float) -> tuple[float, float]:
    """Messages for each CPU-second of the client and of ours, in turns, for that long each."""
    generators: list[Client | Ours] = []
    try:
        for kind in (Client, Ours):
            generators.append(kind(server, connections, 2 * (seconds + START_SECONDS)))
        end = time.monotonic() + 2 * seconds
        while time.monotonic() < end:
            for each in generators:
                each.let(True)
                time.sleep(TURN_SECONDS)
                each.let(False)
        for each in generators:
            each.let(True)
        limit, ours = (each.rate() for each in generators)
        return limit, ours
    finally:
        for each in generators:
            each.let(True)
            each.process.kill()
            each.process.wait()


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 if the target holds, 1 if not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="starts of both (default: 10)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each (default: 6)")
    options = parser.parse_args(arguments)
    try:
        compiled("client")
    except Absent as error:
        print(f"bench/generator.py: {error}", file=sys.stderr)
        return 1
    missed = 0
    print(f"{'20 B, closed loop':20} {'client.c':>12} {'wsfast-bench':>12} {'ratio':>7} spread")
    with running(SERVERS["limit"](), SERVER_CPU) as server:
        for connections in CONNECTIONS:
            rounds = [compare(server, connections, options.seconds) for _ in range(options.rounds)]
            limit, ours = zip(*rounds, strict=True)
            middle, spread = ratio(ours, limit) if options.rounds > 1 else (ours[0] / limit[0], 0)
            missed += middle < TARGET
            verdict = f"  MISSED (>= {TARGET:g})" if middle < TARGET else ""
            medians = f"{statistics.median(limit):12,.0f} {statistics.median(ours):12,.0f}"
            print(f"{connections:6} connections   {medians} {middle:7.3f} {spread:.3f}{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
