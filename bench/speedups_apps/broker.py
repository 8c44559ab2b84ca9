"""A broker for one MQTT client at a time: it accepts, and sends every publication back."""

from __future__ import annotations

from typing import Any

from wsfast.limits import Limits
from wsfast.server import Server

__all__: list[str] = []

CONNECT, DISCONNECT = 0x10, 0xE0
CONNACK = b"\x20\x02\x00\x00"
MAX_BYTES = 1 << 24


class Broker:
    """Looks at the first byte only: each message of the client begins with a packet of its own."""

    def on_message(self, ws: Any, message: bytes) -> None:
        """Answer one message."""
        if message[0] == CONNECT:
            ws.send(CONNACK)
        elif message[0] != DISCONNECT:
            ws.send(message)


limits = Limits(max_message_bytes=MAX_BYTES)
server = Server(Broker(), "127.0.0.1", 0, subprotocols=["mqtt"], limits=limits)
listening = f"listening on ws://127.0.0.1:{server.addresses[0][1]}/"
server.run(on_ready=lambda: print(listening, flush=True))
