"""The coordinator: starts the workers, lets them begin together, merges what they report."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wsfast.loadgen.channel import LineReader, write_line
from wsfast.loadgen.plan import Plan
from wsfast.loadgen.results import Results
from wsfast.loadgen.target import Sample, sample

__all__ = ["Coordinator", "CouldNotRun"]

#: Time between the last worker's "connected" and the common start.
START_DELAY_NS = 20_000_000
#: How often signals are looked at, and progress is shown.
TICK_SECONDS = 0.1
#: What a worker may take beyond its plan before it is given up.
SLACK_SECONDS = 30.0


class CouldNotRun(Exception):
    """The measurement did not come about; the message says why."""


class Worker:
    """One worker process, seen from the coordinator."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.events: set[str] = set()
        self.progress: dict[str, int] = {"asked": plan.connections}
        self.seconds: list[dict[str, Any]] = []
        self.result: dict[str, Any] | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wsfast.loadgen.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_environment(),
            start_new_session=True,  # an interrupt reaches the coordinator only
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin = self.process.stdin.fileno()
        self.reader = LineReader(self.process.stdout.fileno())
        self.send(plan.to_dict())

    def send(self, value: Any) -> None:
        """Tell it something; a worker that is gone shows at its reading end."""
        with contextlib.suppress(BrokenPipeError):
            write_line(self.stdin, value)

    def receive(self) -> None:
        """Take in what it reported.

        Raises:
            CouldNotRun: it ended before its result.
        """
        for report in self.reader.read():
            self.events.add(report["event"])
            self.progress.update(report.get("progress", {}))
            self.result = report.get("result", self.result)
            if "interval" in report:
                self.seconds.append(report["interval"])
        if self.reader.ended and self.result is None:
            status = self.process.wait()
            raise CouldNotRun(f"a worker ended with status {status} before its result")


def merged(rows: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """One second of all workers, for the eye: counters add up, of latencies the worst counts."""
    worst = ("second", "seconds", "p50", "p99", "max")
    return {name: (max if name in worst else sum)(row[name] for row in rows) for name in rows[0]}


def worker_environment() -> dict[str, str]:
    """The environment of a worker: it must find the same wsfast as we did, and has one thread.

    Numpy's OpenBLAS would start one more for every CPU, which spin at first; and to a process with
    several threads every system call on a socket costs more, as they share the descriptors.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


class Coordinator:
    """Runs one measurement over any number of worker processes.

    Args:
        plans: one for each worker.
        settings: what the results show as asked for.
        target_pid: process whose health is looked at, or None.
        on_progress: called with the monotonic time in seconds, and a dict of the sums of the
            workers; its "seconds" are rows of the seconds that are over.
    """

    def __init__(
        self,
        plans: list[Plan],
        *,
        settings: dict[str, Any],
        target_pid: int | None = None,
        on_progress: Callable[[float, dict[str, Any]], None] | None = None,
    ):
        self._plans = plans
        self._results = Results(settings=settings, target_pid=target_pid)
        self._on_progress = on_progress
        self._workers: list[Worker] = []
        self._selector = selectors.DefaultSelector()
        self._signals = 0
        self._started = False
        self._target: dict[str, Sample | None] = {}  # by when: "idle", "before", "after"

    def run(self) -> Results:
        """Run to the end, or until SIGINT or SIGTERM; a second signal gives the workers up.

        Raises:
            CouldNotRun: a worker died or hung.
            KeyboardInterrupt: the second signal came.
            ValueError: this is not the main thread, which alone can handle signals.
        """
        self._look_at_target("idle")
        with self._handling_signals(), self._selector:
            try:
                for plan in self._plans:
                    worker = Worker(plan)
                    self._workers.append(worker)
                    self._selector.register(worker.reader.fd, selectors.EVENT_READ, worker)
                self._collect()
            finally:
                self._end_workers()
        return self._merge()

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signals += 1
        if self._signals > 1:
            raise KeyboardInterrupt("interrupted twice: the workers were given up")

    def _collect(self) -> None:
        deadline = self._deadline()
        while any(worker.result is None for worker in self._workers):
            for key, _ in self._selector.select(TICK_SECONDS):
                key.data.receive()
                if key.data.reader.ended:
                    self._selector.unregister(key.fd)
            self._advance()
            if time.monotonic() > deadline:
                raise CouldNotRun("a worker did not come to its end in time")

    def _deadline(self) -> float:
        """When the run is hung; without a duration only signals end it."""
        plans = self._plans
        if any(plan.seconds is None for plan in plans):
            return float("inf")
        connecting = max(
            plan.connect_seconds * (1 + plan.connections // plan.opening)
            + (plan.connections / plan.connect_rate if plan.connect_rate else 0.0)
            + (plan.connect_seconds if plan.first_answers else 0.0)
            for plan in plans
        )
        loading = max(
            plan.warmup_seconds + (plan.seconds or 0.0) + plan.drain_seconds for plan in plans
        )
        return time.monotonic() + connecting + loading + SLACK_SECONDS

    def _advance(self) -> None:
        if self._signals and not self._results.interrupted:
            self._results.interrupted = True
            for worker in self._workers:
                worker.send({"stop": True})
        if not self._started and self._all("connected"):
            self._start()
        if self._all("warm"):
            self._look_at_target("before")
        if self._started and self._all("measured"):
            self._look_at_target("after")
        if self._on_progress is not None:
            self._on_progress(time.monotonic(), self._progress())

    def _all(self, event: str) -> bool:
        return all(event in worker.events for worker in self._workers)

    def _start(self) -> None:
        self._started = True
        if not any(plan.warmup_seconds for plan in self._plans):
            self._look_at_target("before")  # no later than the window begins
        start_ns = time.monotonic_ns() + START_DELAY_NS
        for worker in self._workers:
            worker.send({"start_ns": start_ns})

    def _look_at_target(self, when: str) -> None:
        if self._results.target_pid is not None and when not in self._target:
            self._target[when] = sample(self._results.target_pid)

    def _progress(self) -> dict[str, Any]:
        names = ("asked", "opened", "failed", "sent", "received")
        sums = {
            name: sum(worker.progress.get(name, 0) for worker in self._workers) for name in names
        }
        seconds = zip(*(worker.seconds for worker in self._workers), strict=False)
        return {**sums, "seconds": [merged(rows) for rows in seconds]}

    def _end_workers(self) -> None:
        """Let those end that gave their result, kill the others."""
        for worker in self._workers:
            with worker.process:
                if worker.result is None:
                    worker.process.kill()

    def _merge(self) -> Results:
        results = self._results
        for worker in self._workers:
            assert worker.result is not None
            results.add(worker.result)
        idle, before, after = (self._target.get(when) for when in ("idle", "before", "after"))
        if before is not None and after is not None:
            results.target_cpu_seconds = after.cpu_seconds - before.cpu_seconds
            results.target_after = after
        if before is not None and idle is not None:
            results.target_grown_bytes = before.rss_bytes - idle.rss_bytes
        return results
