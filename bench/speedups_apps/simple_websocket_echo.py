"""simple-websocket, as Flask-Sock uses it: a thread for each connection, and its client."""

from __future__ import annotations

import contextlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import simple_websocket

from speedups_apps.job import Job

__all__: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """Hands the socket over, as Werkzeug's development server does."""

    def do_GET(self) -> None:
        names = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in self.headers}
        environ: dict[str, Any] = {names[name]: value for name, value in self.headers.items()}
        ws = simple_websocket.Server.accept(environ | {"werkzeug.socket": self.connection})
        with contextlib.suppress(simple_websocket.ConnectionClosed):
            while True:
                ws.send(ws.receive())


def server(listening: Any) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        listening(http.server_address[1])
        http.serve_forever()


def client(job: Job) -> None:
    ws = simple_websocket.Client.connect(job.url)
    job.exchange(ws.send, ws.receive)
    ws.close()
