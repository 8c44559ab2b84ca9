"""An echo server on websockets that also closes, pings and sends fragments on request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from payloads import SUBPROTOCOL
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

__all__ = ["main"]


async def _handle(ws: ServerConnection) -> None:
    try:
        async for message in ws:
            await _answer(ws, message)
    except ConnectionClosed:
        pass
    print(f"closed {ws.close_code} {ws.close_reason}", flush=True)


async def _answer(ws: ServerConnection, message: str | bytes) -> None:
    match message.split() if isinstance(message, str) else ():
        case ["do:close", code, reason]:
            await ws.close(int(code), reason)
        case ["do:fragments", *parts]:
            await ws.send(parts)
        case ["do:ping", payload]:
            await (await ws.ping(payload))
            await ws.send(f"pong {payload}")
        case _:
            await ws.send(message)


def _choose(ws: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # The built-in choice refuses the connection if no subprotocol is in common.
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


async def main() -> None:
    """Serve until terminated."""
    async with serve(
        _handle, "127.0.0.1", 0, select_subprotocol=_choose, max_size=1 << 24
    ) as server:
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
