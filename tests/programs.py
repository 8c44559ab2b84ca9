"""Programs of ours as processes: started, spoken with, and ended."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wsfast.rfc6455
from sockets import Net, Peer

__all__ = ["END_SECONDS", "ROOT", "Program", "descriptors", "is_running", "orphans"]

ROOT = Path(wsfast.rfc6455.__file__).resolve().parents[1]

#: The longest that a program may take to its end.
END_SECONDS = 60


class Program:
    """A running program of ours: what it says at first, and what it leaves at the end.

    Args:
        module: what is run, "wsfast.echo" as an example.
        arguments: of the command line.
        lines: how many lines it prints when it is ready.
        before: a command of the shell that runs first, `ulimit` as an example.
        launcher: a command that runs the one that follows it in its own place.
        session: make it the head of a process group, as a terminal does.
        options: further arguments of `subprocess.Popen`.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        lines: int = 1,
        before: str = "",
        launcher: Sequence[str] = (),
        session: bool = False,
        **options: Any,
    ) -> None:
        self.lines = lines
        command = [sys.executable, "-m", module, *arguments]
        if before:
            command = ["sh", "-c", f'{before} && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            [*launcher, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})},
            start_new_session=session,
            **options,
        )

    def __enter__(self) -> Program:
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline() for _ in range(self.lines)]
        return self

    def __exit__(self, *args: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.finish()

    def finish(self) -> tuple[str, str]:
        """Wait for the end: what it wrote to standard output and error since."""
        if self.process.stdout is None or self.process.stdout.closed:
            return "", ""
        try:
            return self.process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.finish()
        return self.process.returncode, out, err

    @property
    def port(self) -> int:
        found = re.fullmatch(r"listening on ws://\S+:(\d+)/\n", self.said[0])
        assert found, self.said
        return int(found[1])

    def connect(self, net: Net) -> Peer:
        return net.adopt(socket.create_connection(("127.0.0.1", self.port))).upgrade()

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[int]:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(each) for each in children.split()]


def descriptors(processes: list[int]) -> list[int]:
    """How many descriptors each process has open."""
    return [len(os.listdir(f"/proc/{each}/fd")) for each in processes]


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its exit status that nobody asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter if it ends while it is read
        return False


def orphans(word: str) -> list[str]:
    """Processes with this word in their command line, whose parent is gone."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended in the meantime
            continue
        if word.encode() in command and parent == "1":
            found.append(entry.name)
    return found
