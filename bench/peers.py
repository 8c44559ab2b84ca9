"""Echo servers side by side: messages for each CPU-second of the server.

    python bench/peers.py [--only limit,echo,handler] [--scenario 20x32,16384x32] [--tls]

Every server runs on one CPU, the load generator on another. All servers are up all the time and
take turns, in an order that rotates; each figure is the median of ratios within a round, so that
what else runs on the machine falls on all alike. Messages are counted against the CPU time that
the server's process used within the window, so a client that is too slow, or a CPU that is shared,
leaves the ratios as they are; --client-burden takes the client's CPU away to show it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from interleave import ratio
from servers import SERVERS, Absent, Running, available, end_cleanly, machine, names, running

from wsfast.loadgen.coordinator import Coordinator, CouldNotRun
from wsfast.loadgen.plan import Plan

__all__ = ["SCENARIOS", "Sample", "Scenario", "main"]

SERVER_CPU = 0
CLIENT_CPU = 1
CONNECTIONS = 100
MAX_SECONDS = 1800


class Scenario(NamedTuple):
    """What is sent.

    Attributes:
        size: bytes of a payload.
        in_flight: messages that each connection keeps under way.
    """

    size: int
    in_flight: int

    @classmethod
    def parse(cls, text: str) -> Scenario:
        """Read "20x32".

        Raises:
            ValueError: it is not two numbers with an x between.
        """
        size, in_flight = text.split("x")
        return cls(int(size), int(in_flight))

    def __str__(self) -> str:
        size = f"{self.size // 1024} KiB" if self.size >= 1024 else f"{self.size} B"
        return f"{size}, {self.in_flight} in flight"


SCENARIOS = tuple(Scenario(size, depth) for depth in (1, 32) for size in (20, 512, 16384))

#: Least ratios to the limit and to picows, by server and scenario; issue 2 asks for them.
OF_LIMIT = {
    "handler": {
        (20, 1): 0.95,
        (512, 1): 0.95,
        (16384, 1): 0.95,
        (20, 32): 0.35,
        (16384, 32): 0.75,
    },
    "echo": {(20, 1): 1.0, (512, 1): 1.0, (16384, 1): 1.0, (20, 32): 0.85, (16384, 32): 0.9},
}
OF_PICOWS = {"handler": {(20, 1): 2.0, (20, 32): 15.0}}

Targets = dict[str, dict[tuple[int, int], float]]

#: Whom the others are compared with.
COLUMNS: dict[str, Targets] = {"limit": OF_LIMIT, "picows": OF_PICOWS}

#: The same with --tls; issue 5 asks for them, with one message in flight.
SECURE = ("echo", "handler", "picows", "websockets")
SECURE_COLUMNS: dict[str, Targets] = {
    "websockets": {"handler": {(size, 1): 1.5 for size in (20, 512, 16384)}},
    "picows": {"handler": {(size, 1): 1.0 for size in (20, 512, 16384)}},
}


class Sample(NamedTuple):
    """One turn of one server.

    Attributes:
        per_cpu_second: messages for each second of CPU time of the server.
        per_second: messages for each second.
        server_percent: CPU time of the server in percent of the window.
        client_percent: the same of the load generator.
    """

    per_cpu_second: float
    per_second: float
    server_percent: float
    client_percent: float


def sample(server: Running, scenario: Scenario, seconds: float) -> Sample:
    """Let a server echo for some seconds.

    Raises:
        CouldNotRun: it did not answer everything as it should.
    """
    plan = Plan(
        url=server.url,
        address=server.host,
        port=server.port,
        tls={"verify": False} if server.url.startswith("wss:") else None,
        connections=CONNECTIONS,
        in_flight=scenario.in_flight,
        size=scenario.size,
        seconds=seconds,
        cpu=CLIENT_CPU,
    )
    results = Coordinator([plan], settings=plan.to_dict(), target_pid=server.pid).run()
    if results.interrupted:
        raise KeyboardInterrupt
    errors = results.server_errors + results.generator_errors
    if errors or results.failed or not results.target_cpu_percent:
        raise CouldNotRun(f"errors: {dict(errors)}, {results.failed} connections failed")
    return Sample(
        results.messages_per_target_cpu_second or 0.0,
        results.messages_per_second,
        results.target_cpu_percent,
        results.workers[0].cpu_percent,
    )


Samples = dict[str, list[Sample]]


def measure(
    servers: dict[str, Running], scenario: Scenario, rounds: int, seconds: float
) -> Samples:
    """Let the servers take turns; one that fails is left out of the rest, and said so."""
    order = list(servers)
    samples: Samples = {name: [] for name in servers}
    for number in range(rounds):
        order.append(order.pop(0))
        for name in list(order):
            progress(f"{scenario}: round {number + 1} of {rounds}, {name}")
            try:
                samples[name].append(sample(servers[name], scenario, seconds))
            except CouldNotRun as error:
                progress("")
                print(f"{name} failed at {scenario}: {error}")
                order.remove(name)
                del samples[name]
    progress("")
    return samples


def progress(text: str) -> None:
    """Show what is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def compare(samples: Samples, name: str, other: str) -> tuple[float, float] | None:
    """Median and spread of the ratio of two servers, or None where it says nothing."""
    if name == other or name not in samples or other not in samples:
        return None
    mine, theirs = ([one.per_cpu_second for one in samples[key]] for key in (name, other))
    if len(mine) < 2:
        return mine[0] / theirs[0], 0.0
    return ratio(mine, theirs)


def show(figures: tuple[float, float] | None, target: float | None) -> str:
    """The columns of a ratio: median, spread, target, verdict."""
    if figures is None:
        return " " * 35
    wanted = "" if target is None else f">= {target:g}"
    verdict = "MISSED" if target is not None and figures[0] < target else ""
    return f"{figures[0]:11.3f} {figures[1]:6.3f}  {wanted:7} {verdict:6} "


def table(scenario: Scenario, samples: Samples, compared: dict[str, Targets]) -> int:
    """Print what was measured; returns how many targets were missed."""
    print(f"\n{scenario}")
    titles = "".join(f"{'/' + name:>11} {'spread':>6}  {'target':15}" for name in compared)
    print(f"{'':12} {'msg/CPU-s':>11} {'server':>7} {'client':>7}{titles}".rstrip())
    missed = 0
    for name, taken in samples.items():
        middle = [statistics.median(column) for column in zip(*taken, strict=True)]
        columns = f"{name:12} {middle[0]:11,.0f} {middle[2]:6.0f}% {middle[3]:6.0f}%"
        for other, targets in compared.items():
            figures = compare(samples, name, other)
            target = targets.get(name, {}).get(scenario)
            columns += show(figures, target)
            missed += figures is not None and target is not None and figures[0] < target
        print(columns.rstrip())
    return missed


def write_json(path: Path, versions: dict[str, str], everything: dict[Scenario, Samples]) -> None:
    """Keep every sample, not the medians alone."""
    scenarios = [
        {
            "size": scenario.size,
            "in_flight": scenario.in_flight,
            "servers": {name: [one._asdict() for one in taken] for name, taken in samples.items()},
        }
        for scenario, samples in everything.items()
    ]
    value = {"machine": machine(), "servers": versions, "scenarios": scenarios}
    path.write_text(json.dumps(value, indent=1) + "\n")


@contextlib.contextmanager
def certificate() -> Iterator[tuple[str, ...]]:
    """The arguments that let a server speak TLS: a fresh P-256 key and its certificate."""
    with tempfile.TemporaryDirectory() as directory:
        chain, key = f"{directory}/chain.pem", f"{directory}/key.pem"
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        made = ["openssl", "req", "-x509", *kind, "-subj", "/CN=localhost", "-days", "2"]
        subprocess.run([*made, "-keyout", key, "-out", chain], check=True, capture_output=True)
        yield "--certificate", chain, "--key", key


@contextlib.contextmanager
def burden(parts: int) -> Iterator[None]:
    """Take the client's CPU away from it: each process that spins there leaves it less."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [
        subprocess.Popen(spin, preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CPU}))
        for _ in range(parts)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Echo servers side by side.")
    parser.add_argument("--only", type=names, default=list(SERVERS), metavar="NAME,...")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.7, help="of a turn (%(default)s)")
    parser.add_argument(
        "--scenario",
        type=lambda text: [Scenario.parse(part) for part in text.split(",")],
        default=list(SCENARIOS),
        metavar="SIZExDEPTH,...",
        help="payload bytes x messages in flight of each connection (all six)",
    )
    parser.add_argument("--tls", action="store_true", help="wss://, where the servers speak it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument(
        "--client-burden",
        type=int,
        default=0,
        metavar="N",
        help="processes that spin on the client's CPU: the ratios must stay what they are",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all turns and print the tables; 1 if a server failed or a target was missed."""
    chosen = options(arguments)
    if not {SERVER_CPU, CLIENT_CPU} <= os.sched_getaffinity(0):
        print(f"needs the CPUs {SERVER_CPU} and {CLIENT_CPU}, one for each side")
        return 1
    end_cleanly(MAX_SECONDS)
    print(machine())
    commands = available([name for name in chosen.only if not chosen.tls or name in SECURE])
    os.sched_setaffinity(0, {CLIENT_CPU})
    everything: dict[Scenario, Samples] = {}
    compared = SECURE_COLUMNS if chosen.tls else COLUMNS
    missed = 0
    with contextlib.ExitStack() as stack:
        servers = {}
        arguments = stack.enter_context(certificate()) if chosen.tls else ()
        for name, command in commands.items():
            try:
                servers[name] = stack.enter_context(running(command, SERVER_CPU, arguments))
            except Absent as absent:
                print(f"{name:12} left out: {absent}")
        stack.enter_context(burden(chosen.client_burden))
        for scenario in chosen.scenario:
            everything[scenario] = measure(servers, scenario, chosen.rounds, chosen.seconds)
            missed += table(scenario, everything[scenario], compared)
    if chosen.json:
        versions = {name: commands[name].version for name in servers}
        write_json(chosen.json, versions, everything)
    failed = any(len(samples) < len(servers) for samples in everything.values())
    return int(failed or missed > 0)


if __name__ == "__main__":
    sys.exit(main())
