"""How many connections this process can hold."""

from __future__ import annotations

import os
import resource

__all__ = ["open_descriptors", "raise_descriptor_limit"]


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def open_descriptors() -> int:
    """How many descriptors the process has open."""
    listing = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return len(os.listdir(listing)) - 1  # the listing's own
