"""hypercorn on asyncio."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import hypercorn.asyncio
import hypercorn.config

from speedups_apps.asgi import echo

__all__: list[str] = []


async def asyncio_server(listening: Any) -> None:
    config = hypercorn.config.Config()
    config.loglevel = "CRITICAL"
    with socket.create_server(("127.0.0.1", 0)) as server:
        config.bind = [f"fd://{server.fileno()}"]
        listening(server.getsockname()[1])
        await hypercorn.asyncio.serve(echo, config, shutdown_trigger=asyncio.Event().wait)
