"""The examples of the documentation: what stands in the fences of its pages, and how to run it.

A comment in front of a fence says what it is: `<!-- example: server -->` runs until it is stopped,
`<!-- example: client -->` talks to the server in front of it, and of `<!-- example: excerpt -->`,
a part of something, only the imports run. Without a comment it is a program that ends.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "KINDS",
    "PORT",
    "Example",
    "examples_of",
    "grouped",
    "imports_of",
    "reserved_port",
    "run",
    "serving",
]

KINDS = ("program", "server", "client", "excerpt")

#: The port in every example; a free one is put in its place.
PORT = "8765"
SECONDS = 30.0

FENCE = re.compile(
    r"(?:^<!-- example: (?P<kind>\w+) -->\n\n?)?^```python\n(?P<code>.*?)^```$", re.M | re.S
)


class Example(NamedTuple):
    """A fence of Python.

    Attributes:
        page: where it stands.
        line: of its first line of code.
        kind: one of KINDS.
        code: what is in it.
    """

    page: Path
    line: int
    kind: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def examples_of(page: Path) -> list[Example]:
    """Every fence of Python in a page.

    Raises:
        ValueError: a comment names no kind of example.
    """
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("code")) + 1
        kind = fence["kind"] or "program"
        if kind not in KINDS:
            raise ValueError(f"{page.name}:{line}: {kind!r} is none of {', '.join(KINDS)}")
        found.append(Example(page, line, kind, fence["code"]))
    return found


def imports_of(code: str) -> str:
    """The imports of an example, which must be Python as a whole."""
    tree = ast.parse(code)
    lines = [each for each in ast.walk(tree) if isinstance(each, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(each) for each in lines)


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody is given meanwhile; one that asks for it by its number can listen on it.

    Linux lets a second socket have a port that the first one only holds, if both set SO_REUSEADDR.
    """
    with socket.socket() as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.bind(("127.0.0.1", 0))
        yield int(holding.getsockname()[1])


def run(code: str, port: int, directory: Path) -> str:
    """Run an example to its end, with that port in place of PORT; returns what it prints.

    Raises:
        AssertionError: it failed; the message holds what it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", code.replace(PORT, str(port))],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def serving(code: str, directory: Path) -> Iterator[int]:
    """Run the example of a server; gives the port that it listens on once it serves.

    Raises:
        AssertionError: it never answered, or did not end with 0 when it was asked to.
    """
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(reserved_port())
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", code.replace(PORT, str(port))],
                cwd=directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=_environment(),
            )
        )
        try:
            _wait_for(process, port)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said


def _wait_for(process: subprocess.Popen[str], port: int) -> None:
    """Wait until it answers: one that only listens may not handle signals yet."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), SECONDS) as asking,
        ):
            asking.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            asking.recv(4096)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    raise AssertionError(f"nobody answers on port {port}")


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    return {**os.environ, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}


def grouped(examples: Sequence[Example]) -> list[tuple[Example, list[Example]]]:
    """Each example that runs by itself, and behind a server the clients that talk to it.

    Raises:
        ValueError: a client has no server in front of it.
    """
    groups: list[tuple[Example, list[Example]]] = []
    for example in examples:
        if example.kind != "client":
            groups.append((example, []))
        elif groups and groups[-1][0].kind == "server":
            groups[-1][1].append(example)
        else:
            raise ValueError(f"{example}: a client without a server in front of it")
    return groups
