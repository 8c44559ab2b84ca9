"""The process of the library: it echoes, or asks for echoes, and is patched on demand.

    python -m speedups_apps MODULE ENTRY LIBRARY [HIDDEN ...]

Commands come as JSON, one a line on standard input; each is answered by a line on standard
output. {"level": "frames"} patches LIBRARY, {"level": "off"} puts everything back, and a client
obeys the fields of a `Job` as well. A server says first where it listens. HIDDEN are modules that
the library shall not find.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from speedups_apps.job import Job

__all__: list[str] = []


class Channel:
    """The pipe to the driver. The library prints to standard error instead."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._out = os.dup(1)
        os.dup2(2, 1)

    def write(self, value: dict[str, Any]) -> None:
        """Answer with one line."""
        os.write(self._out, json.dumps(value).encode() + b"\n")

    def listening(self, port: int) -> None:
        """Say that a server is there."""
        self.write({"url": f"ws://127.0.0.1:{port}/"})

    def obey(self, exchange: Callable[[Job], None] | None = None) -> None:
        """Answer every command, until the driver is gone; that ends this process."""
        for line in sys.stdin:
            try:
                self.write(self._answer(json.loads(line), exchange))
            except Exception as error:
                self.write({"error": f"{type(error).__name__}: {error}"})
        os._exit(0)

    def _answer(
        self, command: dict[str, Any], exchange: Callable[[Job], None] | None
    ) -> dict[str, Any]:
        if "level" in command:
            return patch(self._library, command["level"])
        if exchange is None:
            raise ValueError(f"a server does not know {command}")
        job = Job(**command)
        exchange(job)
        return job.result()


def patch(library: str, level: str) -> dict[str, Any]:
    """Install or uninstall; answers what is so now."""
    import wsfast.speedups

    if level == "off":
        wsfast.speedups.uninstall()
        return {"state": "off", "level": "off"}
    wsfast.speedups.install(library, level=level)
    if sys.getprofile() or sys.gettrace():
        raise RuntimeError("a self-test left its profiler behind, which would be measured")
    (report,) = wsfast.speedups.status(library)
    return {"state": report.state, "level": report.level, "note": report.note}


def run(entry: Callable[..., Any], argument: Any) -> None:
    """Call a function, or run a coroutine function on asyncio."""
    if inspect.iscoroutinefunction(entry):
        asyncio.run(entry(argument))
    else:
        entry(argument)


def main(module: str, name: str, library: str, *hidden: str) -> None:
    """Serve, or wait for jobs."""
    sys.modules.update(dict.fromkeys(hidden))
    channel = Channel(library)
    entry = getattr(importlib.import_module(f"speedups_apps.{module}"), name)
    if "client" in name:
        channel.write({"url": ""})
        channel.obey(lambda job: run(entry, job))
    threading.Thread(target=channel.obey, daemon=True).start()
    run(entry, channel.listening)


if __name__ == "__main__":
    main(*sys.argv[1:])
