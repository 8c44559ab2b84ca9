"""trio-websocket: server and client."""

from __future__ import annotations

from typing import Any

import trio
from trio_websocket import ConnectionClosed, open_websocket_url, serve_websocket

from speedups_apps.job import Job

__all__: list[str] = []

MAX_BYTES = 1 << 24


async def echo(request: Any) -> None:
    """Send every message back."""
    ws = await request.accept()
    try:
        while True:
            await ws.send_message(await ws.get_message())
    except ConnectionClosed:
        return


def server(listening: Any) -> None:
    async def start(task_status: Any) -> None:
        options: dict[str, Any] = {"max_message_size": MAX_BYTES, "task_status": task_status}
        await serve_websocket(echo, "127.0.0.1", 0, None, **options)

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            listening((await nursery.start(start)).port)

    trio.run(serve)


def client(job: Job) -> None:
    async def exchange() -> None:
        async with open_websocket_url(job.url, max_message_size=MAX_BYTES) as ws:
            await job.exchange_async(ws.send_message, ws.get_message)

    trio.run(exchange)
