"""uvicorn, with the loop and the HTTP parser that it chooses by itself."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

from speedups_apps.asgi import echo

__all__: list[str] = []


def serve(listening: Any, ws: Any) -> None:
    config = uvicorn.Config(
        echo, ws=ws, lifespan="off", ws_per_message_deflate=False, log_level="error"
    )
    config.load()  # what it imports late is there before anybody patches it
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening(server.getsockname()[1])
        uvicorn.Server(config).run(sockets=[server])


def sansio_server(listening: Any) -> None:
    serve(listening, "websockets-sansio")


def wsproto_server(listening: Any) -> None:
    serve(listening, "wsproto")
