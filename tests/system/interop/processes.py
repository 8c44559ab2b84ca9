"""A peer in a process of its own: it prints `port N` when it listens, and a line an event."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wsfast.rfc6455

__all__ = ["HERE", "Peer", "python_peer", "running"]

HERE = Path(__file__).resolve().parent
DEADLINE_SECONDS = 20.0


class Peer:
    """A subprocess whose lines of output can be waited for."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=_environment()
        )
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def expect(self, pattern: str) -> re.Match[str]:
        """Skip lines up to one that matches as a whole, and return the match.

        Raises:
            AssertionError: the output ended first, or the deadline has passed.
        """
        deadline = time.monotonic() + DEADLINE_SECONDS
        seen: list[str] = []
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line {pattern!r} from the peer, only {seen}")
            found = re.fullmatch(pattern, line)
            if found:
                return found
            seen.append(line)

    def stop(self) -> None:
        """End the process, by force if it does not heed SIGTERM."""
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()


@contextmanager
def running(*command: str) -> Iterator[tuple[Peer, str]]:
    """A server for the length of a with block: yields the peer and its ws:// URL."""
    peer = Peer(*command)
    try:
        port = peer.expect(r"port (\d+)")[1]
        yield peer, f"ws://127.0.0.1:{port}"
    finally:
        peer.stop()


def _environment() -> dict[str, str]:
    """Ours, in which the peer finds the wsfast that the tests themselves have imported.

    And what stands beside this file, PYTHONSAFEPATH or not.
    """
    package = Path(wsfast.rfc6455.__file__).parents[1]
    paths = [str(package), str(HERE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def python_peer(script: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of the scripts beside this file."""
    return (sys.executable, str(HERE / script), *arguments)
