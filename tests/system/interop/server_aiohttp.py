"""An echo server on aiohttp that also closes and pings on request (it cannot send fragments)."""

from __future__ import annotations

import asyncio

from aiohttp import WSMessage, WSMsgType, web
from payloads import SUBPROTOCOL

__all__ = ["main"]


async def _handle(request: web.Request) -> web.WebSocketResponse:
    # Without autoping a pong comes to us, and pings are ours to answer.
    ws = web.WebSocketResponse(
        protocols=[SUBPROTOCOL], autoping=False, compress=False, max_msg_size=0
    )
    await ws.prepare(request)
    while True:
        message = await ws.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
            await _answer(ws, message)
        else:
            print(f"closed {ws.close_code} {message.extra or ''}", flush=True)
            return ws


async def _answer(ws: web.WebSocketResponse, message: WSMessage) -> None:
    match message.type, message.data.split() if message.type == WSMsgType.TEXT else ():
        case WSMsgType.TEXT, ["do:close", code, reason]:
            await ws.close(code=int(code), message=reason.encode())
        case WSMsgType.TEXT, ["do:ping", payload]:
            await ws.ping(payload.encode())
        case WSMsgType.TEXT, _:
            await ws.send_str(message.data)
        case WSMsgType.BINARY, _:
            await ws.send_bytes(message.data)
        case WSMsgType.PING, _:
            await ws.pong(message.data)
        case WSMsgType.PONG, _:
            await ws.send_str(f"pong {message.data.decode()}")


async def main() -> None:
    """Serve until terminated."""
    application = web.Application()
    application.router.add_get("/", _handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"port {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
