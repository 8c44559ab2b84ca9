"""CPU time of a process and of its descendants (Linux)."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["cpu_seconds", "family_of", "own_seconds"]

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def stat_fields(pid: int, proc: Path = PROC) -> list[str]:
    """The fields of /proc/PID/stat from the third one (state) on; the name may hold spaces.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    return text.rpartition(")")[2].split()


def family_of(pid: int, proc: Path = PROC) -> list[int]:
    """A process and all its living descendants.

    Args:
        pid: number of the process.
        proc: where procfs is mounted.

    Raises:
        ProcessLookupError: there is no such process.
    """
    stat_fields(pid, proc)
    children: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int(stat_fields(int(entry.name), proc)[1])
        except ProcessLookupError:
            continue  # it ended while we looked
        children.setdefault(parent, []).append(int(entry.name))
    family = [pid]
    for member in family:
        family.extend(children.get(member, ()))
    return family


def own_seconds(pid: int) -> float:
    """User and system time of one living process, exact to the nanosecond.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid() makes of a pid
    except OSError:
        raise ProcessLookupError(f"there is no process {pid}") from None


def cpu_seconds(pid: int, proc: Path = PROC) -> float:
    """User and system time of a process, its living descendants, and the children it waited for.

    What the kernel keeps of ended children comes in ticks of 10 ms, all else in nanoseconds.

    Args:
        pid: number of the process.
        proc: where procfs is mounted.

    Returns:
        Seconds since they started, as float.

    Raises:
        ProcessLookupError: there is no such process.
    """
    seconds = 0.0
    for member in family_of(pid, proc):
        try:
            ended = sum(int(field) for field in stat_fields(member, proc)[13:15])  # cutime cstime
            seconds += own_seconds(member) + ended / TICKS
        except ProcessLookupError:
            continue
    return seconds
