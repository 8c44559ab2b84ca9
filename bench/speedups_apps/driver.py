"""The driver's end: processes of libraries, and one window of one of them."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import wsfast.rfc6455
from speedups_apps.cases import Case
from speedups_apps.job import content
from speedups_apps.peer import Peer
from wsfast.loadgen.channel import LineReader, write_line
from wsfast.loadgen.cpu import own_seconds

__all__ = ["Failed", "NotStarted", "Process", "client_window", "server_window", "settled"]

BENCH = Path(__file__).resolve().parents[1]
#: The wsfast that we run on ourselves.
PACKAGE = str(Path(wsfast.rfc6455.__file__).parents[1])
#: The longest that any command may take.
ANSWER_SECONDS = 90.0
STOP_SECONDS = 60.0
#: How long one that answers no more may take to end: it is silent, or its output has ended.
SILENT_SECONDS = 0.5
ENDED_SECONDS = 60.0

#: A process whose CPU time does not grow for so long sleeps.
SETTLE_SECONDS = 0.001
SETTLE_TRIES = 20


class Failed(Exception):
    """A library could not be measured; the message says why."""


class NotStarted(Failed):
    """Its process did not come up at all."""


class Process:
    """The process of a library; use it as a context manager.

    Args:
        case: what it does.
        cpu: the CPU that all its threads stay on; None: any.

    Attributes:
        url: where it listens; empty for a client.

    Raises:
        NotStarted: it did not come up.
    """

    def __init__(self, case: Case, cpu: int | None) -> None:
        self.case = case
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        paths = filter(None, [str(BENCH), PACKAGE, os.environ.get("PYTHONPATH")])
        environment = {"PYTHONPATH": os.pathsep.join(paths), "WSFAST_SPEEDUPS": ""}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "speedups_apps"),
                *(case.module, case.entry, case.target, *case.hidden),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **environment, **case.environment},
            preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
        )
        try:
            self.url = str(self._answer()["url"])
        except Failed as failed:
            self.stop()
            raise NotStarted(*failed.args) from None
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command, and wait for its answer.

        Raises:
            Failed: it could not be obeyed, or the process ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then it has ended, and _answer says so
            write_line(self._process.stdin.fileno(), command)
        return self._answer()

    def patch(self, level: str) -> str:
        """Install the speedups at this level; "off" uninstalls them.

        Returns:
            A remark, if they stepped back from the level.

        Raises:
            Failed: they are not active afterwards.
        """
        answer = self.ask(level=level)
        if answer["state"] not in ("active", "off"):
            raise Failed(f"{answer['state']}: {answer['note']}")
        return "" if answer["level"] == level else f"{answer['level']} only: {answer['note']}"

    def stop(self) -> None:
        """End it, by force: nothing of it is needed any more."""
        self._process.kill()
        self._process.communicate(timeout=STOP_SECONDS)
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        reader = LineReader(self._process.stdout.fileno())  # one answer at a time: nothing is lost
        while select.select([reader.fd], [], [], ANSWER_SECONDS)[0] and not reader.ended:
            for answer in reader.read():
                if "error" in answer:
                    raise Failed(answer["error"])
                return dict(answer)
        raise Failed(self.last_words(ENDED_SECONDS if reader.ended else SILENT_SECONDS))

    def last_words(self, seconds: float = SILENT_SECONDS) -> str:
        """The last line that it wrote to standard error, and whether it lives after that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        state = "is silent" if self._process.poll() is None else "ended"
        return f"its process {state}: {lines[-1] if lines else 'no word'}"


def client_window(
    process: Process, url: str, size: int, text: bool, in_flight: int, seconds: float
) -> float:
    """One window of a client: messages for each second of its CPU time.

    Raises:
        Failed: it did not complete.
    """
    result = process.ask(url=url, size=size, text=text, in_flight=in_flight, seconds=seconds)
    return float(result["messages"] / result["cpu"])


def server_window(
    process: Process, size: int, text: bool, in_flight: int, seconds: float
) -> float:
    """One window of a server, on a connection of its own; see `client_window`."""
    message = content(size, text)
    try:
        with Peer(process.url, process.case.deflate) as peer:
            peer.exchange(message, in_flight)
            messages, before, began = 0, settled(process.pid), time.perf_counter()
            while not messages or time.perf_counter() - began < seconds:
                peer.exchange(message, in_flight)
                messages += in_flight
            return messages / (settled(process.pid, before) - before)
    except OSError as error:
        raise Failed(f"{type(error).__name__}: {error}; {process.last_words()}") from error


def settled(pid: int, above: float = 0.0) -> float:
    """CPU time of a process that has answered everything, once it sleeps.

    What it used since it was last switched to is not seen from outside before it sleeps.

    Args:
        pid: number of the process.
        above: what it had used before the answers: it has used more.
    """
    used, tries = own_seconds(pid), 0
    while tries < SETTLE_TRIES:
        time.sleep(SETTLE_SECONDS)
        before, used = used, own_seconds(pid)
        if used == before > above:
            break
        tries += used > above
    return used
