"""`wsfast-bench selftest`: measures servers whose latency is known, and compares.

A server that freezes for X once in Y makes those who arrive meanwhile wait for the rest of X. Of
messages that are sent whatever the server does, a share t*/Y is delayed, where t* = X / (1 - rho)
is the freeze and the time in which the server, busy to a share rho, catches up. So the latency at
quantile q is

    L(q) = b + X (1 - (1 - q) Y / t*)     for 1 - q < t*/Y, and b, the undisturbed one, below.

A closed loop of n connections sees only n long answers in each Y: its percentiles stay near b.
That it is wrong in just this way is checked as well.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from wsfast.loadgen.embedded import read_address
from wsfast.loadgen.units import format_count, format_duration
from wsfast.loadgen.witness import median_round_trip

__all__ = ["Check", "Proof", "command", "freeze_latency", "proofs", "prove"]

MS = 1_000_000
RUN_SECONDS = 120.0
WITNESS_SECONDS = 0.5
#: Of a load in front of a server that freezes.
CONNECTIONS = 50


class Check(NamedTuple):
    """One figure.

    Attributes:
        what: its name.
        expected: what the theory says.
        found: what was measured.
        tolerance: how far they may lie apart.
        is_count: they are counts, not nanoseconds.
    """

    what: str
    expected: float
    found: float
    tolerance: float
    is_count: bool = False

    @property
    def holds(self) -> bool:
        """Whether they are near enough."""
        return abs(self.found - self.expected) <= self.tolerance


class Proof(NamedTuple):
    """A server with known faults, a load, and what must come out.

    Attributes:
        name: what is proved.
        server: options of `wsfast-bench serve`.
        load: options of the command, without the URL.
        check: from the JSON of the run to the checks.
        command: of wsfast-bench.
        witnessed: a second instrument measures as well, before and after; its median, in ns,
            stands in the JSON as "witness".
        saturated: so many messages in flight on each connection show first how many a second such
            a server answers without its faults, which stands in the JSON as "capacity"; 0: not.
    """

    name: str
    server: Sequence[str]
    load: Sequence[str]
    check: Callable[[dict[str, Any]], Iterator[Check]]
    command: str = "echo"
    witnessed: bool = False
    saturated: int = 0


def freeze_latency(q: float, base: float, freeze: float, every: float, rho: float) -> float:
    """L(q) of the module's docstring; all times in one unit."""
    delayed = freeze / (1 - rho)
    return base + max(0.0, freeze * (1 - (1 - q) * every / delayed))


def near(what: str, expected: float, found: float) -> Check:
    """The two agree within 2 %, or 1 ms where that is more; both in ns."""
    return Check(what, expected, found, max(0.02 * expected, MS))


def freeze(length_ms: int, every_ms: int, rate: int) -> Proof:
    """A periodic freeze in the open loop follows the formula."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        latency = run["latency"]["intended"]
        base, rho = latency["p50"], rate / run["capacity"]
        for name, q in (("p75", 0.75), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)):
            expected = freeze_latency(q, base, length_ms * MS, every_ms * MS, rho)
            yield near(f"intended {name}", expected, latency[name])
        yield near("intended max", base + length_ms * MS, latency["max"])

    periods = max(4, -(-4000 // every_ms))
    seconds = periods * every_ms / 1000
    load = f"-c {CONNECTIONS} -r {rate} -d {seconds}s --warmup {every_ms / 2000}s"
    name = f"freeze of {length_ms} ms every {every_ms} ms, {rate} messages/s"
    waiting = max(1, rate * length_ms // 1000 // CONNECTIONS)  # when the freeze is over
    stall = ["--stall", f"{length_ms}ms/{every_ms}ms"]
    return Proof(name, stall, load.split(), check, saturated=waiting)


def freeze_in_closed_loop(length_ms: int, every_ms: int) -> Proof:
    """The closed loop misses the freeze, as predicted."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        latency = run["latency"]["actual"]
        yield near("actual p99 (omits the freeze)", latency["p50"], latency["p99"])
        yield near("actual max (saw it)", length_ms * MS, latency["max"])

    name = f"freeze of {length_ms} ms every {every_ms} ms, closed loop"
    load = ["-c", "50", "-d", "4s"]
    return Proof(name, ["--stall", f"{length_ms}ms/{every_ms}ms"], load, check)


def fixed_delay(ms: float) -> Proof:
    """A server that answers after a fixed time."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        latency = run["latency"]["actual"]
        yield near("actual p50", ms * MS, latency["p50"])
        yield near("actual p90", ms * MS, latency["p90"])
        floor = Check("actual min is not below", ms * MS, min(latency["min"], ms * MS), 0.0)
        yield floor

    load = ["-c", "4", "-r", "200", "-d", "1s", "--drain", "2s"]
    return Proof(f"answers after {ms:g} ms", ["--delay", f"{ms}ms"], load, check)


def two_delays() -> Proof:
    """Nine answers in ten after 2 ms, one after 50 ms."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        latency = run["latency"]["actual"]
        yield near("actual p75", 2 * MS, latency["p75"])
        yield near("actual p95", 50 * MS, latency["p95"])
        yield near("actual mean", (0.9 * 2 + 0.1 * 50) * MS, latency["mean"])

    load = ["-c", "1000", "-r", "1000", "-d", "4s"]
    return Proof("answers after 2 ms or 50 ms", ["--delay", "2ms:9,50ms:1"], load, check)


def counted(fault: str, key: str, share: float, slack: float, astray: float = 0.0) -> Proof:
    """A fault of a known share of the messages is counted as what it is, a share astray not."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        sent = run["summary"]["sent"]
        yield Check("messages sent", 10_000, sent, 1, True)
        yield Check(f"{key} messages", share * sent, run["summary"][key], slack * sent, True)
        others = {"lost", "duplicate", "reordered", "unexpected", "mismatch"} - {key}
        strays = sum(run["summary"][each] for each in others)
        yield Check("others", 0, strays, astray * sent, True)

    load = ["-c", "10", "-r", "5000", "-d", "2s"]
    return Proof(f"--{fault} {share:.0%}", [f"--{fault}", str(share)], load, check)


def second_instrument(delay: str) -> Proof:
    """An independent client sees the same median, within 10 us or 5 %."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        expected = run["witness"]
        found = run["latency"]["actual"]["p50"]
        yield Check("actual p50", expected, found, max(0.05 * expected, 10_000))

    server = ["--delay", delay] if delay else []
    name = f"a second instrument, answers after {delay or 'no time'}"
    return Proof(name, server, ["-c", "1", "-d", "1s"], check, witnessed=True)


def skewed_broadcast(receivers: int, skew_ms: int) -> Proof:
    """A broadcast that reaches one receiver after the other; an odd number has a middle one."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        deliveries, delivery = run["latency"]["actual"], run["delivery"]
        yield near("median delivery", (receivers + 1) / 2 * skew_ms * MS, deliveries["p50"])
        yield near("longest delivery", receivers * skew_ms * MS, deliveries["p99"])
        yield near(
            "last subscriber p50", receivers * skew_ms * MS, delivery["last_subscriber"]["p50"]
        )
        yield Check("deliveries", delivery["expected"], delivery["reach"], 0, True)
        yield Check("messages sent", 60, run["summary"]["sent"], 1, True)

    load = f"-c {receivers} -r 20 -d 3s".split()
    server = ["--mode", "broadcast", "--skew", f"{skew_ms}ms"]
    name = f"a broadcast that takes {skew_ms} ms from one to the next"
    return Proof(name, server, load, check, command="fanout")


def steady_sending() -> Proof:
    """The schedule is kept to 100 us on an idle core."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        lag = run["generator"]["lag"]
        yield Check("schedule lag p99", 0, lag["p99"], 100_000)
        yield Check("messages sent", 3000, run["summary"]["sent"], 1, True)

    return Proof("sending jitter at 1000 messages/s", [], "-c 10 -r 1000 -d 3s".split(), check)


def throttled() -> Proof:
    """A generator that cannot keep the rate says so."""

    def check(run: dict[str, Any]) -> Iterator[Check]:
        bound = run["verdict"]["name"] == "GENERATOR-BOUND"
        yield Check("GENERATOR-BOUND", True, bound, 0, True)

    load = "-c 100 -r 2m -d 1s --cpu 0 --drain 1s".split()
    return Proof("a rate beyond any generator", [], load, check)


def proofs(quick: bool) -> list[Proof]:
    """All of them; the quick ones take some seconds, all some minutes."""
    some = [
        freeze(50, 500, 1000),
        freeze_in_closed_loop(100, 1000),
        fixed_delay(5.0),
        counted("drop", "lost", 0.05, 0.02),
        counted("duplicate", "duplicate", 0.05, 0.02),
    ]
    if quick:
        return some
    return [
        *some,
        freeze(100, 1000, 1000),
        freeze(100, 1000, 5000),
        freeze(20, 200, 2000),
        *(fixed_delay(ms) for ms in (0.2, 1.0, 20.0, 100.0, 500.0)),
        two_delays(),
        skewed_broadcast(21, 2),
        second_instrument(""),
        second_instrument("1ms"),
        counted("reorder", "reordered", 0.05, 0.02),
        counted("corrupt", "mismatch", 0.05, 0.02),
        # one that comes while an answer is awaited passes for a wrong answer
        counted("foreign", "unexpected", 0.05, 0.02, astray=0.005),
        steady_sending(),
        throttled(),
    ]


@contextlib.contextmanager
def serving(options: Sequence[str]) -> Iterator[str]:
    """The URL of `wsfast-bench serve` with these options, in a process of its own."""
    command = [sys.executable, "-m", "wsfast.loadgen", "serve", *options]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with process:
        try:
            yield read_address(process)
        finally:
            process.terminate()


def prove(proof: Proof) -> list[Check]:
    """Run one proof.

    Raises:
        OSError: the server or the load did not start; the message holds what it printed.
    """
    witnessed = []
    if proof.saturated:
        with serving(()) as url:
            load = f"-c {CONNECTIONS} -p {proof.saturated} -d 1s".split()
            capacity = max(1.0, measured(proof, url, load)["summary"]["messages_per_second"])
    with serving(proof.server) as url:
        if proof.witnessed:
            witnessed.append(median_round_trip(url, WITNESS_SECONDS))
        run = measured(proof, url, proof.load)
        if proof.witnessed:
            witnessed.append(median_round_trip(url, WITNESS_SECONDS))
            run["witness"] = statistics.mean(witnessed)
    if proof.saturated:
        run["capacity"] = capacity
    return list(proof.check(run))


def measured(proof: Proof, url: str, load: Sequence[str]) -> dict[str, Any]:
    """The JSON of one run.

    Raises:
        OSError: it did not start; the message holds what it printed.
    """
    command = [sys.executable, "-m", "wsfast.loadgen", proof.command, url, *load, "--json", "-q"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        raise OSError(f"{proof.name}: {done.stderr.strip() or done.stdout.strip()}") from None


def medians(rounds: Sequence[Sequence[Check]]) -> list[Check]:
    """The same checks from several runs as one list: the median of each of their figures."""
    return [
        same[0]._replace(
            expected=statistics.median(each.expected for each in same),
            found=statistics.median(each.found for each in same),
            tolerance=statistics.median(each.tolerance for each in same),
        )
        for same in zip(*rounds, strict=True)
    ]


def shown(check: Check) -> str:
    """A check as a line: durations where the figures are nanoseconds."""
    write: Callable[[float], str] = format_count if check.is_count else format_duration
    verdict = "ok" if check.holds else "WRONG"
    return (
        f"    {check.what:34} {write(check.found):>12}  expected {write(check.expected):>12}"
        f" +- {write(check.tolerance):>10}  {verdict}"
    )


@click.command("selftest", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="The short ones only.")
@click.option("-k", "--only", metavar="WORD", help="Only those whose name holds it.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Run each so often, and judge the medians: one hiccup of a shared machine decides "
    "nothing then.",
)
def command(quick: bool, only: str | None, rounds: int) -> None:
    """Measure servers whose latency is known, and compare with what must come out.

    Takes some minutes and wants an idle machine. Exit status 0 if every figure is right, 1 if not.
    """
    chosen = [each for each in proofs(quick) if only is None or only in each.name]
    if not chosen:
        raise click.UsageError(f"--only {only}: no proof has that in its name")
    wrong = 0
    for proof in chosen:
        print(proof.name, flush=True)
        for check in medians([prove(proof) for _ in range(rounds)]):
            wrong += not check.holds
            print(shown(check), flush=True)
    print(f"{wrong} figures are wrong" if wrong else "every figure is right")
    sys.exit(1 if wrong else 0)
