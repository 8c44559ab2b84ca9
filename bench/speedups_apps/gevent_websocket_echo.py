"""gevent-websocket on gevent's own WSGI server."""

from __future__ import annotations

from typing import Any

from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

__all__: list[str] = []


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Send every message back."""
    ws = environ["wsgi.websocket"]
    while (message := ws.receive()) is not None:
        ws.send(message)
    return []


def server(listening: Any) -> None:
    wsgi = pywsgi.WSGIServer(("127.0.0.1", 0), echo, handler_class=WebSocketHandler, log=None)
    wsgi.start()
    listening(wsgi.server_port)
    wsgi.serve_forever()
