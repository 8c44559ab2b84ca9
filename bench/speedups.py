"""Libraries with and without wsfast.speedups, end to end: messages for each CPU-second.

    python bench/speedups.py [LIBRARY ...] [--sizes 125,64k] [--rounds N] [--seconds S] [--json]

A real client or server of each library echoes over loopback. Its process has one CPU; what it
talks to is native (a server talks to a client on wsfast.connection, a client to wsfast-echo), runs
on the other, and does not count. Both kinds of windows, as it comes and patched, take turns within
that one process, in an order that rotates, each on a new connection: a message's CPU time is
compared with that of the same code, the same memory and the same minute. The figures are medians,
the ratio that of the ratios round by round, with the distance of their quartiles.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from interleave import ratio
from servers import SERVERS, Absent, Command, Running, end_cleanly, machine, running
from speedups_apps.cases import CASES, Case
from speedups_apps.driver import Failed, NotStarted, Process, client_window, server_window

from wsfast.loadgen.units import parse_bytes, parse_count

__all__ = ["Load", "Result", "main"]

LIBRARY_CPU = 0
PEER_CPU = 1
MAX_SECONDS = 7200
#: What a load may take, all its windows together, where the library is slow.
LOAD_SECONDS = 8.0
MIN_ROUNDS = 3
#: Bytes under way at most: a client that sends before it reads must not fill the socket buffers.
MAX_UNDER_WAY = 1 << 21

LIBRARIES = tuple(dict.fromkeys(case.library for case in CASES))
BROKER = Path(__file__).parent / "speedups_apps/broker.py"


class Load(NamedTuple):
    """What is sent.

    Attributes:
        size: bytes of a message.
        text: text, not binary.
        in_flight: messages that are sent at once, before their echoes are awaited.
    """

    size: int
    text: bool
    in_flight: int

    def __str__(self) -> str:
        return f"{show_size(self.size)} {'text' if self.text else 'binary'}"


class Result(NamedTuple):
    """What one load came to.

    Attributes:
        case: of which library.
        load: what was sent.
        plain: messages for each CPU-second, window by window, as the library comes.
        patched: the same with the speedups; empty if they are not active.
        note: why they are not.
    """

    case: Case
    load: Load
    plain: list[float]
    patched: list[float]
    note: str

    @property
    def ratio(self) -> tuple[float, float] | None:
        """Median and spread of patched / plain."""
        if not self.patched:
            return None
        if len(self.plain) == 1:
            return self.patched[0] / self.plain[0], 0.0
        return ratio(self.patched, self.plain)


def show_size(size: int) -> str:
    """125 B, 64 KiB, 1 MiB."""
    for unit, power in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= power:
            return f"{size / power:g} {unit}"
    return f"{size} B"


def loads(case: Case, chosen: argparse.Namespace) -> Iterator[Load]:
    """What is sent to one case."""
    for size, in_flight in itertools.product(chosen.sizes, chosen.in_flight):
        if in_flight == 1 or size * in_flight <= MAX_UNDER_WAY:
            if "binary" in chosen.kinds:
                yield Load(size, False, in_flight)
            if "text" in chosen.kinds and case.text:
                yield Load(size, True, in_flight)


def window(process: Process, peer: str, load: Load, level: str, seconds: float) -> float:
    """Messages for each CPU-second of the library, patched or not."""
    process.patch(level)
    if process.case.is_client:
        return client_window(process, peer, load.size, load.text, load.in_flight, seconds)
    return server_window(process, load.size, load.text, load.in_flight, seconds)


def measure(process: Process, peer: str, load: Load, chosen: argparse.Namespace) -> Result:
    """Windows in turns, as many as asked for, or fewer where they take too long."""
    plain: list[float] = []
    patched: list[float] = []
    turns = [("off", plain), (chosen.level, patched)]
    try:
        note = process.patch(chosen.level)
    except Failed as failed:
        del turns[1]
        note = str(failed)
    began = time.monotonic()
    for number in range(chosen.rounds):
        if number >= MIN_ROUNDS and time.monotonic() - began > LOAD_SECONDS:
            break
        for level, samples in turns:
            samples.append(window(process, peer, load, level, chosen.seconds))
        turns.reverse()
    return Result(process.case, load, plain, patched, note)


def measure_case(case: Case, peer: str, chosen: argparse.Namespace) -> Iterator[Result]:
    """All loads of one case; after one that fails the others get a new process."""
    todo = list(loads(case, chosen))
    while todo:
        try:
            with Process(case, LIBRARY_CPU) as process:
                while todo:
                    progress(f"{case.library}, {case.name}: {todo[0]}, {todo[0].in_flight}")
                    yield measure(process, peer, todo[0], chosen)
                    del todo[0]
        except NotStarted as failed:
            yield from (Result(case, load, [], [], str(failed)) for load in todo)
            return
        except Failed as failed:
            yield Result(case, todo.pop(0), [], [], str(failed))
        finally:
            progress("")


def progress(text: str) -> None:
    """Show what is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def heading() -> str:
    """The head of the table."""
    titles = ("library", "case", "message", "in flight", "msgs/CPU-s", "with wsfast", "ratio")
    return f"| {' | '.join([*titles, 'spread'])} |\n|---|---|---|--:|--:|--:|--:|--:|"


def line(result: Result) -> str:
    """One line of the table."""
    columns = [result.case.library, result.case.name, str(result.load)]
    columns.append(str(result.load.in_flight))
    for taken in (result.plain, result.patched):
        columns.append(show_figure(statistics.median(taken)) if taken else "-")
    figures = result.ratio
    columns += [show_ratio(figure) for figure in figures or ()] or ["-", "-"]
    return f"| {' | '.join(columns)} |"


def show_figure(figure: float) -> str:
    """Three digits are as much as there is to know: 12,300 and 2.51."""
    if figure < 100:
        return f"{figure:.3g}"
    digits = len(str(int(figure))) - 3
    return f"{round(figure, -digits):,.0f}"


def show_ratio(figure: float) -> str:
    """1.05, 24.9, 345."""
    return f"{figure:.2f}" if figure < 10 else show_figure(figure)


def version(case: Case) -> str:
    """The library as it is installed, and what is patched in it.

    Raises:
        Absent: it is not installed.
    """
    try:
        found = [
            f"{name} {importlib.metadata.version(name)}"
            for name in dict.fromkeys((case.library, case.target))
        ]
    except importlib.metadata.PackageNotFoundError as error:
        raise Absent(f"{error.name} is not installed") from None
    return " on ".join(found)


def chosen_cases(libraries: Sequence[str], out: bool) -> list[Case]:
    """The cases of these libraries; prints what each library is, and why one is left out."""
    found: dict[str, None] = {}
    cases = []
    for case in CASES:
        if case.library not in (libraries or LIBRARIES):
            continue
        try:
            found[version(case)] = None
            cases.append(case)
        except Absent as absent:
            print(f"{case.library}, {case.name} left out: {absent}", file=sys.stderr)
    if out:
        print(f"{machine()}, Python {sys.version.split()[0]}\n{'; '.join(found)}\n")
    return cases


@contextlib.contextmanager
def peers(cases: Sequence[Case]) -> Iterator[dict[bool, Running]]:
    """What clients talk to: wsfast-echo, and (True) the broker, if any case needs it."""
    commands = {False: SERVERS["echo"](), True: Command([sys.executable, str(BROKER)], "")}
    needed = {case.broker for case in cases if case.is_client}
    with contextlib.ExitStack() as stack:
        yield {
            key: stack.enter_context(running(command, PEER_CPU))
            for key, command in commands.items()
            if key in needed
        }


def measure_all(cases: Sequence[Case], chosen: argparse.Namespace) -> Iterator[Result]:
    """All loads of all cases."""
    with peers(cases) as running_peers:
        for case in cases:
            peer = running_peers[case.broker].url if case.is_client else ""
            yield from measure_case(case, peer, chosen)


def describe(result: Result) -> str:
    """Why a result lacks something."""
    which = f"{result.case.library}, {result.case.name}"
    if result.plain:
        return f"{which}: {result.note}"
    return f"{which}, {result.load}, {result.load.in_flight} in flight: {result.note}"


def write_json(results: Sequence[Result]) -> None:
    """Every sample, not the medians alone."""
    values = [
        {
            "library": result.case.library,
            "case": result.case.name,
            **result.load._asdict(),
            "plain": result.plain,
            "patched": result.patched,
            "ratio": result.ratio and result.ratio[0],
            "spread": result.ratio and result.ratio[1],
            "note": result.note,
        }
        for result in results
    ]
    versions = sorted({version(result.case) for result in results})
    head = {"machine": machine(), "python": sys.version.split()[0], "versions": versions}
    print(json.dumps({**head, "results": values}, indent=1))


def listed(parse: Callable[[str], int]) -> Callable[[str], list[int]]:
    """Read "125,1k,64k"."""

    def read(text: str) -> list[int]:
        try:
            return [parse(part) for part in text.split(",")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def library(name: str) -> str:
    """Read the name of a library.

    Raises:
        argparse.ArgumentTypeError: it is unknown.
    """
    if name not in LIBRARIES:
        raise argparse.ArgumentTypeError(f"{name} is not one of {', '.join(LIBRARIES)}")
    return name


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Libraries with and without wsfast.speedups.")
    names = ", ".join(LIBRARIES)
    parser.add_argument("libraries", nargs="*", type=library, metavar="LIBRARY", help=names)
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument(
        "--sizes",
        type=listed(parse_bytes),
        default=[125, 1 << 10, 1 << 16, 1 << 20],
        metavar="SIZE,...",
    )
    parser.add_argument(
        "--in-flight",
        type=listed(parse_count),
        default=[1, 32],
        metavar="N,...",
        help=f"up to {show_size(MAX_UNDER_WAY)} in all",
    )
    kinds = ["binary,text", "binary", "text"]
    parser.add_argument("--kinds", choices=kinds, default=kinds[0], help="of messages")
    parser.add_argument("--rounds", type=int, default=41, help="pairs of windows (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.025, help="of a window (%(default)s)")
    parser.add_argument(
        "--level",
        choices=["kernels", "frames", "off"],
        default="frames",
        help="what is patched (%(default)s); off: nothing, which tells the noise of this machine",
    )
    parser.add_argument("--json", action="store_true", help="every sample, instead of the table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table as it comes; 1 if a library failed."""
    chosen = options(arguments)
    if not {LIBRARY_CPU, PEER_CPU} <= os.sched_getaffinity(0):
        print(f"needs the CPUs {LIBRARY_CPU} and {PEER_CPU}, one for each side")
        return 1
    end_cleanly(MAX_SECONDS)
    cases = chosen_cases(chosen.libraries, not chosen.json)
    cases = [case for case in cases if chosen.case in case.name]
    os.sched_setaffinity(0, {PEER_CPU})
    results = []
    if not chosen.json:
        print(heading(), flush=True)
    for result in measure_all(cases, chosen):
        results.append(result)
        if not chosen.json:
            print(line(result), flush=True)
    if chosen.json:
        write_json(results)
    for note in dict.fromkeys(describe(result) for result in results if result.note):
        print(note, file=sys.stderr)
    return int(not all(result.plain for result in results))


if __name__ == "__main__":
    sys.exit(main())
