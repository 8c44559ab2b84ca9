"""Load generators side by side: messages for each CPU-second of the generator.

    python bench/generator.py [--rounds 10] [--seconds 1]

The server, bench/limit.c, has one CPU, the generators another, in turns. The limit is
bench/client.c: a frame that was built before the run, bytes counted and nothing else, while
wsfast-bench stamps and masks every message, records every latency and checks every echo.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from interleave import ratio
from servers import SERVERS, Absent, Running, compiled, running

from wsfast.loadgen.coordinator import Coordinator
from wsfast.loadgen.plan import Plan

__all__ = ["main", "of_client", "of_wsfast"]

SERVER_CPU = 0
CLIENT_CPU = 1
CONNECTIONS = (100, 1000)
TARGET = 1.0


def of_client(program: Path, server: Running, connections: int, seconds: float) -> float:
    """Messages for each CPU-second of the C client."""
    done = subprocess.run(
        [program, str(server.port), str(connections), str(seconds)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60 + seconds,
        preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CPU}),
    )
    messages, cpu, _ = map(float, done.stdout.split())
    return messages / cpu


def of_wsfast(server: Running, connections: int, seconds: float) -> float:
    """Messages for each CPU-second of a worker of wsfast-bench; every echo is checked.

    Raises:
        RuntimeError: an echo was wrong, or a connection failed.
    """
    plan = Plan(
        url=server.url,
        address=server.host,
        port=server.port,
        connections=connections,
        seconds=seconds,
        cpu=CLIENT_CPU,
    )
    results = Coordinator([plan], settings=plan.to_dict()).run()
    if results.server_errors or results.generator_errors or results.failed:
        raise RuntimeError(f"errors: {dict(results.server_errors + results.generator_errors)}")
    return results.messages_per_second / (results.workers[0].cpu_percent / 100)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 if the target holds, 1 if not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="turns of each (default: 10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn (default: 1)")
    options = parser.parse_args(arguments)
    try:
        program = compiled("client")
    except Absent as error:
        print(f"bench/generator.py: {error}", file=sys.stderr)
        return 1
    missed = 0
    print(f"{'20 B, closed loop':20} {'client.c':>12} {'wsfast-bench':>12} {'ratio':>7} spread")
    with running(SERVERS["limit"](), SERVER_CPU) as server:
        for connections in CONNECTIONS:
            limit, ours = [], []
            for _ in range(options.rounds):
                limit.append(of_client(program, server, connections, options.seconds))
                ours.append(of_wsfast(server, connections, options.seconds))
            middle, spread = ratio(ours, limit) if options.rounds > 1 else (ours[0] / limit[0], 0)
            missed += middle < TARGET
            verdict = f"  MISSED (>= {TARGET:g})" if middle < TARGET else ""
            medians = f"{statistics.median(limit):12,.0f} {statistics.median(ours):12,.0f}"
            print(f"{connections:6} connections   {medians} {middle:7.3f} {spread:.3f}{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
