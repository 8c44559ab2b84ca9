"""The echo server that wsfast-bench starts when it is given no URL."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType

from wsfast.descriptors import raise_descriptor_limit
from wsfast.loadgen.plan import cpus_beside, workers_for

__all__ = ["EchoServer", "read_address"]

ADDRESS = re.compile(rb"wss?://[^\s/]+:\d+")
START_SECONDS = 15.0
STOP_SECONDS = 5.0


def read_address(process: subprocess.Popen[bytes]) -> str:
    """Wait for the ws:// address that a server prints on a line when it listens.

    Raises:
        OSError: it ended, or printed none in time; the message holds what it printed.
    """
    assert process.stdout is not None
    printed = b""
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            chunk = os.read(process.stdout.fileno(), 4096)
            printed += chunk
            match = ADDRESS.search(printed)
            if match and b"\n" in printed[match.end() :]:
                return match[0].decode("ascii") + "/"
            if not chunk:
                break
    text = printed.decode(errors="replace").strip()[-300:] or "nothing"
    status = process.poll()
    state = "is still running" if status is None else f"ended with status {status}"
    raise OSError(f"it {state} and printed: {text}")


class EchoServer:
    """wsfast-echo on a free port of 127.0.0.1, in a process of its own.

    Use it as a context manager: entering starts it and waits for the address that it prints,
    leaving stops it.

    Args:
        connections: how many it must be able to hold; decides its number of workers.
        generator_cpus: CPUs that it keeps away from, if there are others; empty: any CPU.
        server: the words of `wsfast-bench serve` that start another server of ours instead.
        command: what to start, for tests.

    Attributes:
        url: where it listens.
        pid: its process.
    """

    def __init__(
        self,
        connections: int,
        generator_cpus: tuple[int, ...] = (),
        server: Sequence[str] | None = None,
        command: list[str] | None = None,
    ):
        workers = workers_for(connections, raise_descriptor_limit())
        echo = ["--host", "127.0.0.1", "--port", "0", "--workers", str(workers)]
        words = ["wsfast.echo", *echo] if server is None else ["wsfast.loadgen", *server]
        self.command = command or [sys.executable, "-m", *words]
        self.url = ""
        self.pid = 0
        self._cpus = generator_cpus
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EchoServer:
        """Start it.

        Raises:
            OSError: it ended, or printed no address in time; the message holds what it printed.
        """
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._process = process
        self.pid = process.pid
        try:
            if self._cpus:
                os.sched_setaffinity(process.pid, cpus_beside(self._cpus))
            self.url = read_address(process)
        except OSError as error:
            self.stop()
            raise OSError(f"the embedded echo server did not start: {error}") from error
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it with SIGTERM, and with SIGKILL after a few seconds. Does nothing if it ended."""
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            process.terminate()
            try:
                process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
