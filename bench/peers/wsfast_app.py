"""wsfast with an app: a route, and a handler in Python."""

from __future__ import annotations

from typing import Any

from wsfast.app import App
from wsfast.server import Server

__all__: list[str] = []

app = App(origins="any")


@app.websocket("/{room:path}")
class Echo:
    """Sends every message back."""

    def on_message(self, ws: Any, message: str | bytes) -> None:
        ws.send(message)


server = Server(app, "127.0.0.1", 0)
listening = f"listening on ws://127.0.0.1:{server.addresses[0][1]}/"
server.run(on_ready=lambda: print(listening, flush=True))
