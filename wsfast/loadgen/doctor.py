"""`wsfast-bench doctor`: what this host lacks for N connections, and the lines that would add it.

It reads the limits of Linux and changes nothing. A connection over loopback costs this host both
ends; `--side` says which one it is to hold.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from wsfast.loadgen.options import amount
from wsfast.loadgen.plan import CONNECTIONS_PER_SOURCE, SPARE_DESCRIPTORS
from wsfast.loadgen.units import format_bytes, format_count, parse_count

__all__ = ["Finding", "Host", "command", "examine", "read_host"]

#: Kernel memory of an idle TCP socket (slab), and the page that one small unread message pins.
SOCKET_BYTES = 4800
PAGE_BYTES = 4096
#: User memory of an idle connection of wsfast-echo and of wsfast-bench, with some room.
USER_BYTES = {"client": 1536, "server": 1024}
#: Connections that may wait to be accepted: less than this loses handshakes of a storm.
BACKLOG = 4096


class Host(NamedTuple):
    """The limits of a host, as Linux tells them; None where it does not."""

    soft_descriptors: int
    hard_descriptors: int
    cpus: int
    memory_bytes: int | None
    nr_open: int | None
    file_max: int | None
    ports: tuple[int, int] | None
    tcp_mem_pages: int | None
    somaxconn: int | None
    syn_backlog: int | None
    epoll_watches: int | None
    conntrack_max: int | None


class Finding(NamedTuple):
    """One resource.

    Attributes:
        resource: what it is.
        needed, found: how much of it, in words.
        enough: whether it suffices.
        cure: the line to type, or what to do; "" where it suffices.
    """

    resource: str
    needed: str
    found: str
    enough: bool
    cure: str


def read_host(root: Path = Path("/proc")) -> Host:
    """Read the limits of this host."""
    import os
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    system = root / "sys"
    ports = numbers(system / "net/ipv4/ip_local_port_range")
    memory = numbers(system / "net/ipv4/tcp_mem")
    return Host(
        soft_descriptors=soft,
        hard_descriptors=hard,
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=available_bytes(root / "meminfo"),
        nr_open=first(system / "fs/nr_open"),
        file_max=first(system / "fs/file-max"),
        ports=(ports[0], ports[1]) if len(ports) == 2 else None,
        tcp_mem_pages=memory[2] if len(memory) == 3 else None,
        somaxconn=first(system / "net/core/somaxconn"),
        syn_backlog=first(system / "net/ipv4/tcp_max_syn_backlog"),
        epoll_watches=first(system / "fs/epoll/max_user_watches"),
        conntrack_max=first(system / "net/netfilter/nf_conntrack_max"),
    )


def numbers(path: Path) -> list[int]:
    """The numbers in a file of procfs; none if it is not there."""
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []


def first(path: Path) -> int | None:
    """The first number in a file of procfs, or None."""
    found = numbers(path)
    return found[0] if found else None


def available_bytes(meminfo: Path) -> int | None:
    """MemAvailable, or None."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def examine(host: Host, connections: int, side: str) -> Iterator[Finding]:
    """Hold a host against a number of connections.

    Args:
        side: "client", "server", or "both" for a run over loopback.
    """
    sides = ("client", "server") if side == "both" else (side,)
    sockets = connections * len(sides)
    yield from descriptors(host, connections, sockets)
    if "client" in sides:
        yield ports(host, connections)
    yield from memory(host, connections, sockets, sides)
    if "server" in sides:
        waiting = min(connections, BACKLOG)
        yield at_least("waiting for accept", waiting, host.somaxconn, "net.core.somaxconn")
        sysctl = "net.ipv4.tcp_max_syn_backlog"
        yield at_least("half-open handshakes", waiting, host.syn_backlog, sysctl)
    yield at_least("epoll watches", sockets, host.epoll_watches, "fs.epoll.max_user_watches")
    if host.conntrack_max is not None:
        sysctl = "net.netfilter.nf_conntrack_max"
        yield at_least("tracked connections", 2 * connections, host.conntrack_max, sysctl)


def at_least(what: str, needed: int, found: int | None, sysctl: str) -> Finding:
    """A limit that a sysctl sets; one that cannot be read is taken for enough."""
    enough = found is None or found >= needed
    shown = "unknown" if found is None else format_count(found)
    cure = "" if enough else f"sysctl -w {sysctl}={needed}"
    return Finding(what, format_count(needed), shown, enough, cure)


def descriptors(host: Host, connections: int, sockets: int) -> Iterator[Finding]:
    """Of a process, and of the whole system."""
    room = max(1, host.hard_descriptors - SPARE_DESCRIPTORS)
    workers = math.ceil(connections / room)
    wanted = connections + SPARE_DESCRIPTORS
    cure = ""
    if workers > 1:
        cure = f"-w {workers} (and --workers {workers} of the server), or ulimit -Hn {wanted}"
        if host.nr_open is not None and wanted > host.nr_open:
            cure += f" behind sysctl -w fs.nr_open={wanted}"
    found = f"{format_count(host.hard_descriptors)} a process"
    yield Finding("descriptors", format_count(wanted), found, workers == 1, cure)
    yield at_least("open files", sockets + 4096, host.file_max, "fs.file-max")


def ports(host: Host, connections: int) -> Finding:
    """Source ports: so many from one address to one address and port of a server."""
    low, high = host.ports or (32768, 60999)
    each = min(CONNECTIONS_PER_SOURCE, high - low + 1)
    addresses = math.ceil(connections / each)
    found = f"{format_count(high - low + 1)} from one address"
    if addresses == 1:
        return Finding("source ports", format_count(connections), found, True, "")
    cure = f"--bind auto on loopback does it; elsewhere --bind with {addresses} addresses"
    if high - low < 60_000:
        cure += ', or sysctl -w net.ipv4.ip_local_port_range="1024 65535"'
    return Finding("source ports", format_count(connections), found, False, cure)


def memory(
    host: Host, connections: int, sockets: int, sides: tuple[str, ...]
) -> Iterator[Finding]:
    """Of the kernel for TCP, and of all in all."""
    pages = sockets + 1024
    yield at_least_pages(pages, host.tcp_mem_pages)
    needed = sockets * (SOCKET_BYTES + PAGE_BYTES)
    needed += sum(connections * USER_BYTES[each] for each in sides)
    enough = host.memory_bytes is None or host.memory_bytes >= needed
    found = "unknown" if host.memory_bytes is None else format_bytes(host.memory_bytes)
    cure = "" if enough else "a host with more memory, or fewer connections"
    yield Finding("memory", format_bytes(needed), found, enough, cure)


def at_least_pages(pages: int, found: int | None) -> Finding:
    """tcp_mem: a page for each socket that holds an unread message."""
    enough = found is None or found >= pages
    shown = "unknown" if found is None else f"{format_count(found)} pages"
    cure = "" if enough else f'sysctl -w net.ipv4.tcp_mem="{pages // 2} {pages * 3 // 4} {pages}"'
    return Finding("TCP memory", f"{format_count(pages)} pages", shown, enough, cure)


EPILOG = """
\b
Examples:
  wsfast-bench doctor -c 1m
  wsfast-bench doctor -c 100k --side client
"""


@click.command("doctor", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--connections",
    callback=amount(parse_count, least=1),
    metavar="COUNT",
    default="10k",
    show_default=True,
    help="How many this host is to hold.",
)
@click.option(
    "--side",
    type=click.Choice(["client", "server", "both"]),
    default="both",
    show_default=True,
    help="Which end of them.",
)
def command(connections: int, side: str) -> None:
    """Say what this host lacks for so many connections, with the lines that would add it.

    Changes nothing. Exit status 0 if nothing is missing, 1 if something is.
    """
    findings = list(examine(read_host(), connections, side))
    for each in findings:
        print(shown(each))
    missing = [each for each in findings if not each.enough]
    print(f"{len(missing)} of {len(findings)} are not enough" if missing else "all is enough")
    sys.exit(1 if missing else 0)


def shown(finding: Finding) -> str:
    """A finding as lines."""
    verdict = "ok " if finding.enough else "LOW"
    line = f"{verdict}  {finding.resource:22} {finding.needed:>16} needed, {finding.found}"
    return f"{line}\n       {finding.cure}" if finding.cure else line
