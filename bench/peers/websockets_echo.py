"""The asyncio server of websockets on uvloop, without compression."""

from __future__ import annotations

import secure
import uvloop
from websockets.asyncio.server import ServerConnection, serve

__all__: list[str] = []


async def echo(websocket: ServerConnection) -> None:
    """Send every message back."""
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    """Serve until the process is ended."""
    options = {"compression": None, "backlog": 4096, "ssl": secure.context()}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on {secure.scheme()}://127.0.0.1:{port}/", flush=True)
        await server.serve_forever()


uvloop.run(main())
