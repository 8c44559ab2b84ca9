"""A worker: one generator process, from the plan on its standard input to the result it prints.

The phases, each a method of Session: connect, wait for the common start, load, drain, close.
Standard input is watched all the time: {"stop": true} or its end (the coordinator is gone) ends
the phase under way.
"""

from __future__ import annotations

import collections
import errno
import gc
import os
import resource
import selectors
import signal
import sys
import time
from typing import Any

from wsfast.descriptors import raise_descriptor_limit
from wsfast.loadgen.channel import LineReader, write_line
from wsfast.loadgen.echoing import EchoEngine
from wsfast.loadgen.fanning import FanEngine
from wsfast.loadgen.hdrblob import to_dict
from wsfast.loadgen.intervals import Intervals
from wsfast.loadgen.plan import Plan
from wsfast.loadgen.results import COUNTERS
from wsfast.loadgen.stages import CpuMarks
from wsfast.loop import Loop
from wsfast.selector import EpollSelector

__all__ = ["GENERATOR_KINDS", "Session", "main"]

#: Kinds of errors that are this host's own fault.
GENERATOR_KINDS = frozenset({"addresses_exhausted", "descriptors_exhausted", "memory_exhausted"})

#: Counters of what a server did wrong, as kinds of errors.
SERVER_FAULTS = ("mismatch", "lost", "reordered", "duplicate", "unexpected", "unanswered")

REPORT_SECONDS = 0.2
#: The longest a turn of the loop may wait: how soon a command or a deadline is seen.
TURN_SECONDS = 0.05
#: Connections that are started, given their first messages or closed between two turns.
SLICE = 64
CLOSE_SECONDS = 3.0
#: Without a duration the load ends when no answer has come for so long.
STALL_NS = 10_000_000_000

ERRNO_KINDS = {
    errno.EADDRNOTAVAIL: "addresses_exhausted",
    errno.EMFILE: "descriptors_exhausted",
    errno.ENFILE: "descriptors_exhausted",
    errno.ENOBUFS: "memory_exhausted",
    errno.ENOMEM: "memory_exhausted",
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}


def error_kind(cause: str | int) -> str:
    """The name of an error: the engine gives a name, or the number that a system call left."""
    if isinstance(cause, str):
        return cause
    return ERRNO_KINDS.get(cause) or errno.errorcode.get(cause, f"errno_{cause}").lower()


class Session:
    """The work of one process.

    Args:
        plan: what to do.
        commands: descriptor that brings commands.
        reports: descriptor that reports go to.
    """

    def __init__(self, plan: Plan, commands: LineReader, reports: int):
        self.plan = plan
        self.start_ns: int | None = None
        self.stopped = False
        self.window_seconds = 0.0
        self.window_cpu_seconds = 0.0
        self.connect_seconds = 0.0
        self._commands = commands
        self._reports = reports
        self._reported = 0.0
        self._cpu_before = 0.0
        self._sent_before = 0
        self._selector = EpollSelector()
        self._selector.register(commands.fd, selectors.EVENT_READ)
        engine = FanEngine if plan.mode in ("fanout", "recv", "connect") else EchoEngine
        self.engine: EchoEngine | FanEngine = engine(Loop(self._selector), plan)
        self.intervals = Intervals(self.engine.latency)
        self.cpu_marks = CpuMarks([seconds for seconds, _ in plan.stages])

    def run(self) -> None:
        """All phases; the result is the last thing that is reported."""
        try:
            self.connect()
            self.wait_for_greetings()
            self.report("connected")
            self.wait_for_start()
            if self.start_ns is not None:
                self.load()
                self.report("measured")
                self.drain()
            self.engine.settle()
            self.close()
            write_line(self._reports, {"event": "result", "result": self.result()})
        finally:
            self._selector.close()

    def turn(self, seconds: float, *, until_ns: int | None = None) -> None:
        """One turn of the loop, or several until a time; commands and progress pass."""
        if until_ns is None:
            ready = self._selector.select(max(0.0, min(seconds, TURN_SECONDS)))
        else:
            latest_ns = time.monotonic_ns() + int(TURN_SECONDS * 1e9)
            ready = self.engine.turns(min(until_ns, latest_ns))
        for key, _ in ready:
            if key.fd == self._commands.fd:
                self.obey(self._commands.read())
        if self.intervals.is_due(now_ns := time.monotonic_ns()):
            row = self.intervals.close(now_ns, self.engine.counts())
            write_line(self._reports, {"event": "interval", "interval": row})
        if self.cpu_marks.is_due(now_ns):
            self.cpu_marks.mark(now_ns, time.process_time())
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self.report("progress")

    def obey(self, commands: list[Any]) -> None:
        """Take in what the coordinator says; at the end of its pipe, stop."""
        for command in commands:
            self.start_ns = command.get("start_ns", self.start_ns)
            self.stopped = self.stopped or "stop" in command
        if self._commands.ended:
            self.stopped = True
            self._selector.unregister(self._commands.fd)

    def report(self, event: str) -> None:
        """Tell the coordinator where we are."""
        self._reported = time.monotonic()
        counts = self.engine.counts()
        progress = {name: counts[name] for name in ("opened", "failed", "sent", "received")}
        write_line(self._reports, {"event": event, "progress": progress})

    def connect(self) -> None:
        """Open all connections, at the rate asked for, with a bounded number under way."""
        plan, engine = self.plan, self.engine
        started = time.monotonic()
        begun = 0
        while (begun < plan.connections or engine.pending) and not self.stopped:
            due = plan.connections
            if plan.connect_rate:
                due = min(due, 1 + int((time.monotonic() - started) * plan.connect_rate))
            burst = min(due - begun, plan.opening - engine.pending, SLICE)
            for index in range(begun, begun + burst):
                engine.connect(index)
            begun += max(0, burst)
            self.turn(self._connect_pause(started, begun, due))
        self.connect_seconds = time.monotonic() - started
        engine.stop_connecting()

    def _connect_pause(self, started: float, begun: int, due: int) -> float:
        """How long the connect phase may sleep: until an event, or the next connection is due."""
        if begun < due and self.engine.pending < self.plan.opening:
            return 0.0
        if self.plan.connect_rate and begun < self.plan.connections:
            return started + begun / self.plan.connect_rate - time.monotonic()
        return TURN_SECONDS

    def wait_for_greetings(self) -> None:
        """Until every first message was answered; each connection has a deadline of its own."""
        while self.engine.ungreeted and not self.stopped:
            self.turn(TURN_SECONDS)

    def wait_for_start(self) -> None:
        """Serve the open connections until the common start, or a stop."""
        gc.collect()
        gc.freeze()  # what lives now lives to the end: no pause for looking at it again
        while self.start_ns is None and not self.stopped:
            self.turn(TURN_SECONDS)
        while self.start_ns is not None and not self.stopped:
            left = (self.start_ns - time.monotonic_ns()) / 1e9
            if left <= 0:
                return
            self.turn(left)

    def load(self) -> None:
        """Keep the messages going until the window is over, the count is sent, or a stop."""
        engine, plan = self.engine, self.plan
        end_ns = engine.begin(time.monotonic_ns())
        started, warm = 0, False
        returning = plan.reconnect or plan.lifetime_seconds > 0
        while not self.stopped and (engine.live or returning) and not engine.exhausted:
            now_ns = time.monotonic_ns()
            if not warm and now_ns >= engine.warm_ns:
                warm = True
                self._begin_window()
            if plan.seconds is None:  # lost messages would let it wait for ever
                end_ns = engine.last_answer + STALL_NS
            until_ns = end_ns if warm else engine.warm_ns
            if now_ns >= until_ns:
                break
            starting = started < plan.connections
            if starting:
                started = engine.start_some(started, SLICE)
            engine.reconnect_some(min(SLICE, plan.opening - engine.pending))
            if starting or returning:
                self.turn(0.0 if starting else (until_ns - now_ns) / 1e9)
            else:  # by the clock, not for so long: the window begins when the warm-up ends
                self.turn(0.0, until_ns=until_ns)
        ended_ns = engine.end(time.monotonic_ns())
        if warm:
            self.window_seconds = (ended_ns - engine.warm_ns) / 1e9
            self.window_cpu_seconds = time.process_time() - self._cpu_before
            if self.cpu_marks.is_due(ended_ns):
                self.cpu_marks.mark(ended_ns, time.process_time())

    def _begin_window(self) -> None:
        """The warm-up is over: from here on things are measured."""
        self._cpu_before = time.process_time()
        self._sent_before = self.engine.counts()["sent"]
        self.intervals.begin(self.engine.warm_ns, self.engine.counts())
        self.cpu_marks.begin(self.engine.warm_ns, self._cpu_before)
        self.report("warm")

    def drain(self) -> None:
        """Wait for the answers that are still under way, until the deadline of the plan.

        What came by then is read, however late we look. Quiet is counted in turns, not by the
        clock: a machine that stalls all of us has not been quiet.
        """
        deadline = time.monotonic() + self.plan.drain_seconds
        quiet, left = 0, self.plan.drain_seconds
        while quiet < self.engine.patience and left > 0:
            before, reads = time.monotonic(), self.engine.counts()["reads"]
            left = deadline - before
            self.turn(left)
            if self.engine.counts()["reads"] != reads:
                quiet = 0
            elif time.monotonic() - before >= TURN_SECONDS / 2:  # it waited in vain
                quiet += 1

    def close(self) -> None:
        """Close every connection with 1000; those that do not answer in time are cut."""
        deadline = time.monotonic() + CLOSE_SECONDS
        closed = 0
        while self.engine.held and time.monotonic() < deadline:
            if closed < self.plan.connections:
                closed = self.engine.close_some(closed, SLICE)
                self.turn(0.0)
            else:
                self.turn(TURN_SECONDS)
        self.engine.abort_all()

    def result(self) -> dict[str, Any]:
        """Everything that was counted, ready for JSON."""
        counts = {**dict.fromkeys(COUNTERS, 0), **self.engine.counts()}
        errors: dict[str, collections.Counter[str]] = {
            "server": collections.Counter(),
            "generator": collections.Counter(),
        }
        for cause, count in self.engine.errors.items():
            kind = error_kind(cause)
            errors["generator" if kind in GENERATOR_KINDS else "server"][kind] += count
        for kind in SERVER_FAULTS:
            if counts[kind]:
                errors["server"][kind] += counts[kind]
        if counts["backlog"]:
            errors["generator"]["backlog"] += counts["backlog"]
        busy = self.window_cpu_seconds / self.window_seconds if self.window_seconds else 0.0
        return {
            **counts,
            "asked": self.plan.connections,
            "window_sent": counts["sent"] - self._sent_before,
            "window_seconds": self.window_seconds,
            "connect_seconds": self.connect_seconds,
            "histograms": {name: to_dict(each) for name, each in self.engine.histograms().items()},
            "censored_ns": self.engine.censored_ns if counts["censored"] else None,
            "intervals": self.intervals.rows,
            "worst": getattr(self.engine, "worst", []),
            "stages": self.stage_rows(),
            "errors": errors,
            "worker": {
                "pid": os.getpid(),
                "cpu": self.plan.cpu,
                "cpu_percent": 100.0 * busy,
                "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "connections": counts["opened"],
                "io_uring": self.engine.batches,
            },
        }

    def stage_rows(self) -> list[dict[str, Any]]:
        """What was counted of each stage, ready for JSON."""
        counts = getattr(self.engine, "stages", None)
        if counts is None:
            return []
        return [
            {
                **row,
                "histograms": {name: to_dict(each) for name, each in row["histograms"].items()},
                "cpu_percent": percent,
            }
            for row, percent in zip(counts.rows(), self.cpu_marks.percents(), strict=True)
        ]


def main() -> None:
    """Read the plan from standard input and work it off."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands = LineReader(sys.stdin.fileno())
    while not (lines := commands.read()):
        if commands.ended:
            return
    fields, *already = lines  # who is interrupted early says so before we read
    plan = Plan.from_dict(fields)
    if plan.cpu is not None:
        os.sched_setaffinity(0, {plan.cpu})
    raise_descriptor_limit()
    try:
        session = Session(plan, commands, sys.stdout.fileno())
        session.obey(already)
        session.run()
    except BrokenPipeError:
        sys.exit("the coordinator is gone")


if __name__ == "__main__":
    main()
