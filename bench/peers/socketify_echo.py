"""uWebSockets through socketify."""

from __future__ import annotations

from typing import Any

from socketify import App, CompressOptions

__all__: list[str] = []


def echo(ws: Any, message: Any, opcode: Any) -> None:
    """Send every message back."""
    ws.send(message, opcode)


def announce(config: Any) -> None:
    """Say where it listens."""
    print(f"listening on ws://127.0.0.1:{config.port}/", flush=True)


app = App()
options = {
    "compression": CompressOptions.DISABLED,
    "max_payload_length": 16 * 1024 * 1024,
    "max_backpressure": 16 * 1024 * 1024,
    "idle_timeout": 120,
    "message": echo,
}
app.ws("/*", options)
app.listen({"port": 0, "host": "127.0.0.1"}, announce)
app.run()
