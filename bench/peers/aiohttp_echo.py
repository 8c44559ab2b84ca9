"""aiohttp on uvloop, without compression and without an access log."""

from __future__ import annotations

import asyncio

import uvloop
from aiohttp import WSMsgType, web

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


async def main() -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    port = runner.addresses[0][1]
    print(f"listening on ws://127.0.0.1:{port}/", flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
