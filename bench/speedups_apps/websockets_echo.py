"""websockets: its three kinds of servers and of clients."""

from __future__ import annotations

from typing import Any

import trio
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.sync.client
import websockets.sync.server
import websockets.trio.client
import websockets.trio.server

from speedups_apps.job import Job

__all__: list[str] = []

HOST = "127.0.0.1"
PLAIN: dict[str, Any] = {"compression": None, "max_size": None}


async def echo(websocket: Any) -> None:
    """Send every message back."""
    async for message in websocket:
        await websocket.send(message)


async def asyncio_server(listening: Any, **options: Any) -> None:
    async with websockets.asyncio.server.serve(echo, HOST, 0, **(PLAIN | options)) as server:
        listening(server.sockets[0].getsockname()[1])
        await server.serve_forever()


async def deflate_server(listening: Any) -> None:
    await asyncio_server(listening, compression="deflate")


def sync_server(listening: Any) -> None:
    def handler(websocket: Any) -> None:
        for message in websocket:
            websocket.send(message)

    with websockets.sync.server.serve(handler, HOST, 0, **PLAIN) as server:
        listening(server.socket.getsockname()[1])
        server.serve_forever()


def trio_server(listening: Any) -> None:
    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            start = websockets.trio.server.serve
            server = await nursery.start(lambda **kw: start(echo, 0, host=HOST, **PLAIN, **kw))
            listening(server.listeners[0].socket.getsockname()[1])

    trio.run(serve)


async def asyncio_client(job: Job) -> None:
    async with websockets.asyncio.client.connect(job.url, **PLAIN) as websocket:
        await job.exchange_async(websocket.send, websocket.recv)


def sync_client(job: Job) -> None:
    with websockets.sync.client.connect(job.url, **PLAIN) as websocket:
        job.exchange(websocket.send, websocket.recv)


def trio_client(job: Job) -> None:
    async def exchange() -> None:
        async with websockets.trio.client.connect(job.url, **PLAIN) as websocket:
            await job.exchange_async(websocket.send, websocket.recv)

    trio.run(exchange)
