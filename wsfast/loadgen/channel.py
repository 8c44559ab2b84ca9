"""A pipe that carries JSON values, one a line, between the coordinator and a worker.

From the coordinator: the plan, then {"start_ns": CLOCK_MONOTONIC} when every worker has connected,
or {"stop": true} at any time. From a worker: {"event": ...} with "progress", "connected",
"measured" (its window is over) and last "result".
"""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["LineReader", "write_line"]


class LineReader:
    """The reading end: what one read brings, as JSON values.

    Args:
        fd: descriptor to read from; it stays the caller's.
    """

    def __init__(self, fd: int):
        self.fd = fd
        self.ended = False
        self._rest = b""

    def read(self) -> list[Any]:
        """Read once; blocks only if the descriptor does and nothing is there.

        Returns:
            The values that are complete; sets `ended` at the end of the pipe.

        Raises:
            ValueError: a line is no JSON.
        """
        try:
            chunk = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return []
        if not chunk:
            self.ended = True
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]


def write_line(fd: int, value: Any) -> None:
    """Write one value; the descriptor must block.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    data = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]
