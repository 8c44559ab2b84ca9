"""Echo servers as child processes: what to start, and on which CPU."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from wsfast.loadgen.embedded import read_address

__all__ = [
    "SERVERS",
    "Absent",
    "Command",
    "Running",
    "available",
    "compiled",
    "machine",
    "names",
    "running",
]

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench/peers"
NPM = ROOT / ".cache/npm"
STOP_SECONDS = 5.0
INSTALL_SECONDS = 120.0


class Absent(Exception):
    """A server cannot run here; the message says what is missing."""


class Command(NamedTuple):
    """How to start a server.

    Attributes:
        arguments: the program and its arguments; it prints `ws://HOST:PORT/` (or wss) when it
            listens.
        version: what is measured, for the table.
    """

    arguments: list[str]
    version: str


class Running(NamedTuple):
    """A server that listens.

    Attributes:
        url: where.
        pid: its process.
    """

    url: str
    pid: int

    @property
    def host(self) -> str:
        """The numeric address that it listens on."""
        return self.url.partition("://")[2].rpartition(":")[0]

    @property
    def port(self) -> int:
        """And the port."""
        return int(self.url.rpartition(":")[2].rstrip("/"))


def compiled(name: str) -> Path:
    """The program that bench/NAME.c is the source of, built if that is newer.

    Raises:
        Absent: there is no C compiler.
    """
    source, target = ROOT / f"bench/{name}.c", ROOT / f"build/bench/{name}"
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise Absent("no C compiler; set CC")
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-std=gnu11", "-O3", source, "-o", target], check=True)
    return target


def _limit() -> Command:
    target = compiled("limit")
    compiler = os.environ.get("CC", "gcc")
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True)
    return Command([str(target)], f"{version.stdout.splitlines()[0]} -O3")


def _echo() -> Command:
    return Command([sys.executable, "-m", "wsfast.echo", "--port", "0"], _versions("wsfast"))


def _versions(*packages: str) -> str:
    """Names and versions of the packages.

    Raises:
        Absent: one of them is not installed.
    """
    try:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    except importlib.metadata.PackageNotFoundError as error:
        if error.name == "wsfast" and importlib.util.find_spec("wsfast"):
            return "wsfast from the checkout"
        raise Absent(f"{error.name} is not installed") from None


def _python(file: str, *packages: str) -> Callable[[], Command]:
    def command() -> Command:
        version = f"{_versions(*packages)}, Python {sys.version.split()[0]}"
        return Command([sys.executable, str(PEERS / file)], version)

    return command


def _npm(package: str) -> Path:
    """Where npm's package is; installs it into .cache/npm at the first use.

    Raises:
        Absent: there is no npm, or it cannot install the package.
    """
    found = NPM / "node_modules" / package
    if (found / "package.json").exists():
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise Absent("npm is not installed")
    NPM.mkdir(parents=True, exist_ok=True)
    install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(NPM), package]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            install, stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_SECONDS
        )
        if done.returncode == 0 and (found / "package.json").exists():
            return found
    raise Absent(f"npm cannot install {package}")


def _output(*command: str) -> str:
    """What a program prints.

    Raises:
        Absent: it does not run.
    """
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise Absent(f"{Path(command[0]).name} does not run: {error}") from None
    return done.stdout.strip()


def _bun() -> Command:
    bun = shutil.which("bun") or str(_npm("bun") / "bin/bun.exe")
    return Command([bun, str(PEERS / "bun_echo.js")], f"Bun {_output(bun, '--version')}")


def _ws() -> Command:
    node = shutil.which("node")
    if node is None:
        raise Absent("node is not installed")
    package = _npm("ws")
    read = "console.log(require(process.argv[1] + '/package.json').version)"
    version = _output(node, "-e", read, str(package))
    version = f"ws {version}, Node {_output(node, '--version')}"
    with contextlib.suppress(Absent):
        _npm("bufferutil")  # ws takes it where it finds it, and its README advises it
        version += ", with bufferutil"
    return Command([node, str(PEERS / "ws_echo.js"), str(package)], version)


#: What can be measured, in the order of the tables.
SERVERS: dict[str, Callable[[], Command]] = {
    "limit": _limit,
    "echo": _echo,
    "handler": _python("wsfast_handler.py", "wsfast"),
    "app": _python("wsfast_app.py", "wsfast"),
    "picows": _python("picows_echo.py", "picows", "uvloop"),
    "websockets": _python("websockets_echo.py", "websockets", "uvloop"),
    "aiohttp": _python("aiohttp_echo.py", "aiohttp", "uvloop"),
    "socketify": _python("socketify_echo.py", "socketify"),
    "bun": _bun,
    "ws": _ws,
}


def available(names: list[str]) -> dict[str, Command]:
    """Those of the servers that can run here; prints what each is, and why others are left out."""
    commands = {}
    for name in names:
        try:
            commands[name] = SERVERS[name]()
        except Absent as absent:
            print(f"{name:12} left out: {absent}")
        else:
            print(f"{name:12} {commands[name].version}")
    return commands


def names(text: str) -> list[str]:
    """Read the names of servers.

    Raises:
        argparse.ArgumentTypeError: one is unknown.
    """
    chosen = text.split(",")
    if unknown := set(chosen) - set(SERVERS):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(SERVERS)}")
    return chosen


def machine() -> str:
    """Processor, system and date, for the head of the tables."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    system = f"{platform.system()} {platform.release()}"
    return f"{model}, {os.cpu_count()} CPUs, {system}, {time.strftime('%Y-%m-%d')}"


def end_cleanly(seconds: int) -> None:
    """Let SIGTERM, or the end of that time, end this process in order: servers are stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(f"ended by {signal.Signals(number).name}; at most {seconds} s are allowed")

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)


def _environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextlib.contextmanager
def running(
    command: Command, cpu: int | None = None, arguments: tuple[str, ...] = ()
) -> Iterator[Running]:
    """Start a server, and stop it at the end.

    Args:
        command: what to start.
        cpu: the CPU that all its threads stay on; None: any.
        arguments: more arguments for it.

    Raises:
        Absent: it ended, or printed no address in time.
    """
    process = subprocess.Popen(
        [*command.arguments, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
    )
    try:
        yield Running(_address(process), process.pid)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _address(process: subprocess.Popen[bytes]) -> str:
    try:
        return read_address(process)
    except OSError as error:
        raise Absent(f"it does not start: {error}") from error
