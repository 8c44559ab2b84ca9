"""wsfast with a handler in Python."""

from __future__ import annotations

from typing import Any

import secure

from wsfast.server import Server

__all__: list[str] = []


class Echo:
    """Sends every message back."""

    def on_message(self, ws: Any, message: str | bytes) -> None:
        ws.send(message)


server = Server(Echo(), "127.0.0.1", 0, tls=secure.context())
listening = f"listening on {secure.scheme()}://127.0.0.1:{server.addresses[0][1]}/"
server.run(on_ready=lambda: print(listening, flush=True))
