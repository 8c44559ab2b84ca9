"""The health of the process under test, with its descendants: CPU, memory, descriptors (Linux)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from wsfast.loadgen.cpu import PROC, cpu_seconds, family_of

__all__ = ["Sample", "sample"]

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Sample(NamedTuple):
    """One look at a process and its descendants.

    Attributes:
        cpu_seconds: user and system time since they started.
        processes: how many there are.
        rss_bytes: resident memory; pages that they share count for each of them.
        descriptors: open ones; None where the system does not let us see them.
    """

    cpu_seconds: float
    processes: int
    rss_bytes: int
    descriptors: int | None


def sample(pid: int, proc: Path = PROC) -> Sample | None:
    """Look at a process; None if there is none, or procfs is not there."""
    try:
        family = family_of(pid, proc)
        return Sample(
            cpu_seconds(pid, proc),
            len(family),
            sum(rss_bytes(each, proc) for each in family),
            descriptors(family, proc),
        )
    except OSError:
        return None


def rss_bytes(pid: int, proc: Path = PROC) -> int:
    """Resident memory of one process; 0 if it has ended."""
    try:
        return int((proc / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def descriptors(pids: list[int], proc: Path = PROC) -> int | None:
    """Open descriptors of processes; None if one of them is somebody else's."""
    count = 0
    for pid in pids:
        try:
            count += len(os.listdir(proc / str(pid) / "fd"))
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return count
