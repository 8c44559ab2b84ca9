"""autobahn on asyncio: server and client."""

from __future__ import annotations

import asyncio
from typing import Any

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

from speedups_apps.job import Job

__all__: list[str] = []


class Echo(WebSocketServerProtocol):
    """Sends every message back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class Exchange(WebSocketClientProtocol):
    """Does the job of its factory."""

    def onOpen(self) -> None:
        job = self.factory.job
        job.begin(lambda _: self.sendMessage(job.data, not job.text))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        try:
            more = self.factory.job.answered(payload)
        except ValueError as error:
            self.factory.done.set_exception(error)
        else:
            if not more:
                self.sendClose(1000)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        if not self.factory.done.done():
            self.factory.done.set_result(None)


async def server(listening: Any) -> None:
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    loop = asyncio.get_running_loop()
    serving = await loop.create_server(factory, "127.0.0.1", 0)
    listening(serving.sockets[0].getsockname()[1])
    await serving.serve_forever()


async def client(job: Job) -> None:
    loop = asyncio.get_running_loop()
    factory = WebSocketClientFactory(job.url)
    factory.protocol, factory.job, factory.done = Exchange, job, loop.create_future()
    await loop.create_connection(factory, factory.host, factory.port)
    await factory.done
