"""Serving inside of asyncio or uvloop: imported only by who does, as asyncio is large."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from wsfast.hosting import Serving, event_loop, run, serve_until_signal
from wsfast.worker import Worker

__all__ = ["serve", "work"]


def serve(hosting: str, application: object, server: dict[str, Any], **ending: Any) -> None:
    """Serve in this process until a signal.

    Args:
        hosting: "asyncio" or "uvloop".
        application: what to serve.
        server: keyword arguments of `Server`.
        ending: as for `serve_until_signal`.
    """
    run(serve_until_signal(Serving(application, **server), **ending), event_loop(hosting))


def work(
    worker: Worker, hosting: str, application: object, server: dict[str, Any], **drain: Any
) -> None:
    """Serve in a worker until its supervisor says otherwise, as `Worker.serve` does.

    Args:
        worker: whose sockets are in `server`.
        hosting, application, server: as for `serve`.
        drain: as for `Worker.serve`.
    """
    run(_work(worker, Serving(application, **server), drain), event_loop(hosting))


async def _work(worker: Worker, serving: Serving, drain: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    async with serving:
        with worker.obeying(serving.server, stopped.set) as stop:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
            worker.ready()
            await stopped.wait()
            await serving.close(**worker.how_to_close(drain))
