"""eventlet: its WebSocket application on its WSGI server."""

from __future__ import annotations

from typing import Any

import eventlet
import eventlet.wsgi
from eventlet.websocket import WebSocketWSGI

__all__: list[str] = []


@WebSocketWSGI
def echo(ws: Any) -> None:
    """Send every message back."""
    while (message := ws.wait()) is not None:
        ws.send(message)


def server(listening: Any) -> None:
    listener = eventlet.listen(("127.0.0.1", 0))
    listening(listener.getsockname()[1])
    eventlet.wsgi.server(listener, echo, log_output=False)
