"""The supervisor: keeps worker processes running, and replaces them without losing a connection.

It holds the listening sockets and never accepts on them. A worker that comes takes up those of
its place, one that goes leaves them open: what the kernel has queued on them waits for the next,
so that neither a restart nor a crash refuses or resets an opening handshake.

What a worker runs is the callable given, called anew in each process. To restart with new code
(SIGHUP), let that callable import it: the supervisor's own memory, and so every module that it has
imported itself, is what each worker starts from.

A worker that dies is replaced at once; if its successors die young, too, after a time that doubles
and varies at random, so that a service that they need is not overrun. A worker that dies before
all have once been ready ends everything: that is a mistake and no accident. So do, later on, many
in a row that die young. One that cannot even be started, for lack of descriptors or processes,
counts as one that died young, and meanwhile the others serve on.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import logging
import os
import random
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import NoReturn

from wsfast.loop import Loop
from wsfast.metrics import GAUGES, Figures, Metrics, WorkerFigures
from wsfast.selector import EpollSelector
from wsfast.worker import READY, Order, Worker

__all__ = ["Supervisor", "backoff_seconds"]

_STOP = (signal.SIGTERM, signal.SIGINT)
_RESTART = signal.SIGHUP
_PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)
_HANDLED = (*_STOP, _RESTART, *_PASSED_ON, signal.SIGCHLD)

#: A worker that dies sooner than this has died young.
_YOUNG_SECONDS = 5.0
#: So many in a row in one place, and it is no use.
_MOST_FAILURES = 10
_FIRST_BACKOFF_SECONDS = 0.25
_LONGEST_BACKOFF_SECONDS = 15.0
#: A place that has no worker for longer stops listening, which resets what is queued on it.
_LONGEST_QUEUE_SECONDS = 1.0
#: How long workers have that were told to end at once.
_CUT_SECONDS = 5.0  # a busy machine may well take two
_BACKLOG = 4096

_log = logging.getLogger("wsfast.supervisor")


def backoff_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row: none, then doubling, with jitter."""
    if failures < 2:
        return 0.0
    doubled = _FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 2, 64)  # more overflows
    longest = min(_LONGEST_BACKOFF_SECONDS, doubled)
    return longest * random.uniform(0.5, 1.0)


@dataclasses.dataclass(eq=False)
class _Process:
    """A worker process, as the supervisor knows it."""

    pid: int
    control: socket.socket
    started: float
    deadline: float  # when it is killed; moved as it gets ready, and as it is told to end
    ready: bool = False
    told: bool = False  # to end
    heard: bytes = b""  # the line that is not complete yet
    stats: dict[str, int] = dataclasses.field(default_factory=dict)  # as it told them last

    def listen(self) -> bytes:
        """What it says; figures are noted. Nothing if it is gone, or was silent."""
        try:
            said = self.control.recv(65536)
        except OSError:
            return b""
        *lines, self.heard = (self.heard + said.removeprefix(READY)).split(b"\n")
        if lines:
            self.stats = json.loads(lines[-1])
        return said


@dataclasses.dataclass(eq=False)
class _Place:
    """Where one worker stands at a time, with the sockets that stay as workers come and go."""

    number: int
    sockets: list[socket.socket]
    current: _Process | None = None
    successor: _Process | None = None  # starting while `current` serves on
    failures: int = 0  # workers in a row that died young
    due: float | None = None  # when the next one starts, if one is to
    deaf: bool = False  # its sockets do not listen for the time being
    counted: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    # ... by workers that have ended


class Supervisor:
    """Runs workers until SIGTERM or SIGINT; SIGHUP replaces all of them, one after the other.

    SIGTERM and SIGINT drain every worker, a second one ends them at once. SIGUSR1 and SIGUSR2 are
    passed on (a worker ignores them until it handles them). In the main thread only, as Python
    has it for signals.

    Args:
        work: called with a `Worker` in each worker process; returns its exit status, None for 0.
        sockets: for each worker what it listens on; a list that several hold is shared.
        start_seconds: a worker that is not ready after so long is killed.
        stop_seconds: one that has not ended so long after it was told to is killed.
        on_ready: called once, when all workers have become ready.
        notify: called with what the service manager is to know, as for `activation.Notifier`.
        metrics: listening sockets to serve the figures of all workers on, see wsfast.metrics.

    Raises:
        ValueError: there is no worker, one has no socket, or a time is not above 0.
    """

    def __init__(
        self,
        work: Callable[[Worker], int | None],
        sockets: Sequence[list[socket.socket]],
        *,
        start_seconds: float = 60.0,
        stop_seconds: float = 30.0,
        on_ready: Callable[[], object] | None = None,
        notify: Callable[[str], object] | None = None,
        metrics: Sequence[socket.socket] = (),
    ) -> None:
        if not sockets or not all(sockets):
            raise ValueError("each worker, and at least one, needs a socket to listen on")
        if not (start_seconds > 0 and stop_seconds > 0):
            raise ValueError(
                f"start_seconds {start_seconds!r} and stop_seconds {stop_seconds!r} "
                "must be above 0"
            )
        self._work = work
        self._places = [_Place(number, each) for number, each in enumerate(sockets)]
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._on_ready = on_ready
        self._notify = notify or (lambda state: None)
        self._metrics_sockets = metrics
        self._metrics: Metrics | None = None
        self._events = dict.fromkeys(("worker_starts", "worker_deaths", "restarts"), 0)
        self._processes: dict[_Process, _Place] = {}
        self._restarting: collections.deque[_Place] = collections.deque()
        self._announced = False
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Run until told to end; returns the exit status: 0, or 1 if workers failed for good."""
        with contextlib.ExitStack() as stack:
            self._selector = stack.enter_context(EpollSelector())
            if self._metrics_sockets:
                loop = Loop(self._selector)
                self._metrics = Metrics(self._metrics_sockets, loop, self.figures)
                stack.callback(self._metrics.close)
            self._signals = stack.enter_context(_signals_as_bytes())
            self._selector.register(self._signals[0], selectors.EVENT_READ)
            for place in self._places:
                place.current = self._start(place)
            while self._processes or not self._stopping:
                self._turn()
        return self._status

    def figures(self) -> Figures:
        """What all workers have counted, as they told it last, and what became of them."""
        workers = []
        for place in self._places:
            counted = place.counted.copy()
            pids = [process.pid for process, its in self._processes.items() if its is place]
            for process, its in self._processes.items():
                if its is place:
                    counted.update(process.stats)
            workers.append(WorkerFigures(place.number, pids, dict(counted)))
        current = [place.current for place in self._places]
        program = {
            "workers": len(self._places),
            "workers_ready": sum(process is not None and process.ready for process in current),
            "workers_waiting": sum(place.due is not None for place in self._places),
            **self._events,
        }
        return Figures(program, workers)

    # --- one turn ----------------------------------------------------------------------------

    def _turn(self) -> None:
        """Wait for signals, for words of the workers, or for the next time."""
        for key, _ in self._selector.select(self._seconds_to_wait()):
            if key.data is None:
                for number in self._signals[0].recv(4096):
                    self._on_signal(number)
            elif key.data in self._processes:
                self._hear(key.data)
        for process in list(self._processes):
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                self._ended(process, os.waitstatus_to_exitcode(status))
        self._keep_time()

    def _seconds_to_wait(self) -> float | None:
        times = [process.deadline for process in self._processes]
        times += [place.due for place in self._places if place.due is not None]
        first = min(times, default=float("inf"))
        return None if first == float("inf") else max(0.0, first - time.monotonic())

    def _keep_time(self) -> None:
        """Start who is due, kill who is overdue."""
        now = time.monotonic()
        for place in self._places:
            if place.due is not None and place.due <= now:
                self._start_another(place)
        for process in self._processes:
            if process.deadline <= now:
                what = "has not ended" if process.told else "is not ready"
                _log.error("worker %d %s in time: it is killed", process.pid, what)
                process.deadline = float("inf")
                os.kill(process.pid, signal.SIGKILL)

    def _on_signal(self, number: int) -> None:
        if number in _STOP:
            self._stop()
        elif number == _RESTART and not self._stopping:
            self._restart()
        elif number in _PASSED_ON:
            for process in self._processes:
                os.kill(process.pid, number)

    def _hear(self, process: _Process) -> None:
        """What a worker says: that it is ready, what it has counted, or nothing more."""
        said = process.listen()
        if not said:
            self._selector.unregister(process.control)  # its exit status comes next
        elif said.startswith(READY) and not process.ready:
            process.ready = True
            if not process.told:
                process.deadline = float("inf")
                self._is_ready(process)

    # --- starting ----------------------------------------------------------------------------

    def _start(self, place: _Place) -> _Process:
        """Fork a worker for a place.

        Raises:
            OSError: there is no descriptor or no process left.
        """
        place.due = None
        if place.deaf:
            place.deaf = False
            for each in place.sockets:
                each.listen(_BACKLOG)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that reached the child before its handlers are its own would look like ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._become_worker(place, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            theirs.close()
        now = time.monotonic()
        process = _Process(pid, ours, now, now + self._start_seconds)
        self._processes[process] = place
        self._selector.register(ours, selectors.EVENT_READ, process)
        self._events["worker_starts"] += 1
        _log.info("worker %d starts", pid)
        return process

    def _start_another(self, place: _Place) -> None:
        """Start a worker where one has ended; if that cannot be, the others serve on."""
        try:
            place.current = self._start(place)
        except OSError as error:
            self._replace(place, f"no worker can be started ({error.strerror})", young=True)

    def _become_worker(self, place: _Place, control: socket.socket) -> NoReturn:
        """In the child: leave everything of the supervisor behind, and work."""
        status: int | None = 1
        try:
            self._leave_behind(place)
            control.setblocking(False)
            reporting = self._metrics is not None
            worker = Worker(place.number, place.sockets, control, reporting=reporting)
            status = self._work(worker)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            _log.exception("worker %d failed", os.getpid())
        finally:
            with contextlib.suppress(OSError, ValueError):  # its reader is gone, or it is closed
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status or 0)

    def _leave_behind(self, place: _Place) -> None:
        """Close what is the supervisor's, and take its signal handlers away.

        Ctrl-C and a terminal's end reach all processes of a group, but are the supervisor's alone.
        """
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, _RESTART, *_PASSED_ON):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        if self._metrics is not None:
            self._metrics.leave_to_parent()
        self._selector.close()
        for each in self._signals:
            each.close()
        for process in self._processes:
            process.control.close()
        for other in self._places:
            for each in other.sockets:
                if each not in place.sockets:
                    each.close()

    def _is_ready(self, process: _Process) -> None:
        """A worker accepts connections: whom it replaces may go."""
        place = self._processes[process]
        if process is place.successor:
            old, place.current, place.successor = place.current, process, None
            if old is not None:
                self._tell(old, Order.RESTART)
            self._restart_next()
        if self._announced or not all(p.current and p.current.ready for p in self._places):
            return
        self._announced = True
        self._notify("READY=1")
        if self._on_ready is not None:
            self._on_ready()

    # --- restarting --------------------------------------------------------------------------

    def _restart(self) -> None:
        """Replace every worker; one that is under way begins again."""
        _log.info("restarting")
        self._events["restarts"] += 1
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        idle = not self._restarting
        self._restarting = collections.deque(self._places)
        if idle and not any(place.successor for place in self._places):
            self._restart_next()

    def _restart_next(self) -> None:
        if self._restarting and not self._stopping:
            place = self._restarting.popleft()
            try:
                place.successor = self._start(place)
            except OSError as error:
                self._give_up_restart(place, f"cannot be started ({error.strerror})")
        elif self._announced:
            self._notify("READY=1")
            _log.info("restarted")

    def _give_up_restart(self, place: _Place, how: str) -> None:
        """A new worker failed: those that serve go on serving."""
        _log.error("the new worker %s: the restart is given up, the old ones serve on", how)
        place.successor = None
        self._restarting.clear()
        self._notify("READY=1")
        if place.current is None:
            self._replace(place, how, young=True)

    # --- ending ------------------------------------------------------------------------------

    def _ended(self, process: _Process, status: int) -> None:
        """A worker is gone; `status` as of subprocess: negative for a signal."""
        place = self._processes[process]
        with contextlib.suppress(KeyError):
            self._selector.unregister(process.control)
        process.listen()  # its last figures
        process.control.close()
        del self._processes[process]
        place.counted.update({name: n for name, n in process.stats.items() if name not in GAUGES})
        how = _describe(status)
        expected = status in (0, -signal.SIGTERM)
        if self._stopping or process.told:
            if not expected:
                _log.error("worker %d %s while it was to end", process.pid, how)
                self._status = 1 if self._stopping else self._status
        elif process is place.successor:
            self._events["worker_deaths"] += 1
            self._give_up_restart(place, how)
        else:
            place.current = None
            self._events["worker_deaths"] += 1
            if place.successor is None:
                age = time.monotonic() - process.started
                young = age < _YOUNG_SECONDS or not process.ready
                self._replace(place, f"worker {process.pid} {how}", young=young)

    def _replace(self, place: _Place, how: str, *, young: bool) -> None:
        """Start another worker in a while, or give up."""
        place.failures = place.failures + 1 if young else 0
        if not self._announced or place.failures >= _MOST_FAILURES:
            when = "before all were ready" if not self._announced else "again and again"
            _log.error("%s, %s: giving up", how, when)
            self._status = 1
            self._stop()
            return
        seconds = backoff_seconds(place.failures)
        place.due = time.monotonic() + seconds
        if seconds > _LONGEST_QUEUE_SECONDS and self._is_alone(place):
            place.deaf = True  # or the kernel would go on to queue connections for nobody
            for each in place.sockets:
                with contextlib.suppress(OSError):  # not every system can do that
                    each.shutdown(socket.SHUT_RD)
        _log.warning("%s; another one starts in %.1f s", how, seconds)

    def _is_alone(self, place: _Place) -> bool:
        """Whether its sockets are nobody else's, and other places listen on the same port."""
        others = {each for other in self._places if other is not place for each in other.sockets}
        return bool(others) and not others.intersection(place.sockets)

    def _stop(self) -> None:
        """Drain all workers; the second time end them at once."""
        order = Order.CUT if self._stopping else Order.STOP
        if not self._stopping:
            self._notify("STOPPING=1")
        self._stopping = True
        self._restarting.clear()
        for place in self._places:
            place.due = None
        for process in self._processes:
            self._tell(process, order)

    def _tell(self, process: _Process, order: Order) -> None:
        """Order a worker to end; one that is not ready may not listen yet."""
        process.told = True
        seconds = _CUT_SECONDS if order is Order.CUT else self._stop_seconds
        process.deadline = min(process.deadline, time.monotonic() + seconds)
        with contextlib.suppress(OSError):  # it has just ended by itself
            process.control.send(order.value)
        if not process.ready:
            os.kill(process.pid, signal.SIGTERM)


def _describe(status: int) -> str:
    """How a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


@contextlib.contextmanager
def _signals_as_bytes() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket pair whose first end brings the numbers of signals; put back at the end."""

    def handle(number: int, frame: FrameType | None) -> None:
        """The interpreter has written the number by now."""

    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        previous_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        previous = {number: signal.signal(number, handle) for number in _HANDLED}
        try:
            yield reader, writer
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_wakeup)
