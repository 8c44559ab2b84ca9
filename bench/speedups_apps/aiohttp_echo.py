"""aiohttp: server and client."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import ClientSession, WSMsgType, web

from speedups_apps.job import Job

__all__: list[str] = []


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send every message back."""
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
    return ws


async def server(listening: Any) -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listening(runner.addresses[0][1])
    await asyncio.Event().wait()


async def client(job: Job) -> None:
    async with ClientSession() as session, session.ws_connect(job.url) as ws:
        send = ws.send_str if job.text else ws.send_bytes
        receive = ws.receive_str if job.text else ws.receive_bytes
        await job.exchange_async(send, receive)
