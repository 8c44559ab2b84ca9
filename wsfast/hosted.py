"""Serving inside of asyncio or uvloop: imported only by who does, as asyncio is large."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from wsfast.hosting import Serving, event_loop, run, serve_until_signal
from wsfast.server import Server
from wsfast.worker import Worker

__all__ = ["serve", "work"]


def serve(
    hosting: str,
    application: object,
    server: dict[str, Any],
    *,
    on_ready: Callable[[Server], object],
    **ending: Any,
) -> None:
    """Serve in this process until a signal.

    Args:
        hosting: "asyncio" or "uvloop".
        application: what to serve.
        server: keyword arguments of `Server`.
        on_ready: called with the server once connections are accepted.
        ending: as for `serve_until_signal`.
    """
    serving = Serving(application, **server)
    main = serve_until_signal(serving, on_ready=lambda: on_ready(serving.server), **ending)
    run(main, event_loop(hosting))


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
