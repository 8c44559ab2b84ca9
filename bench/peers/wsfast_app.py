"""wsfast with an app: a route, and a handler in Python."""

from __future__ import annotations

from typing import Any

from wsfast.app import App
from wsfast.server import Server, stop_on_signal

__all__: list[str] = []

app = App(origins="any")


@app.websocket("/{room:path}")
class Echo:
    """Sends every message back."""

    def on_message(self, ws: Any, message: str | bytes) -> None:
        ws.send(message)


server = Server(app, "127.0.0.1", 0)
with stop_on_signal(server.loop):
    print(f"listening on ws://127.0.0.1:{server.addresses[0][1]}/", flush=True)
    server.loop.run()
    server.close()
