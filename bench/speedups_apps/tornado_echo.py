"""tornado: server and client."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado import httpserver, netutil, web, websocket

from speedups_apps.job import Job

__all__: list[str] = []


class Echo(websocket.WebSocketHandler):
    """Sends every message back."""

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))


async def server(listening: Any) -> None:
    sockets = netutil.bind_sockets(0, "127.0.0.1")
    httpserver.HTTPServer(web.Application([("/", Echo)])).add_sockets(sockets)
    listening(sockets[0].getsockname()[1])
    await asyncio.Event().wait()


async def client(job: Job) -> None:
    connection = await websocket.websocket_connect(job.url)

    def send(message: str | bytes) -> Any:
        return connection.write_message(message, binary=not job.text)

    await job.exchange_async(send, connection.read_message)
    connection.close()
