"""An ASGI application that sends every WebSocket message back."""

from __future__ import annotations

from typing import Any

__all__ = ["echo"]


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application."""
    if scope["type"] != "websocket":
        raise ValueError(f"only WebSocket is spoken here, not {scope['type']}")
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") is not None:
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
