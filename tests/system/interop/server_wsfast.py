"""Our echo server, which also closes and pings on request. Argument: the one Origin it lets in."""

from __future__ import annotations

import sys

from payloads import SUBPROTOCOL

from wsfast.endpoint import Endpoint
from wsfast.server import Server

__all__ = ["main"]


class Echo:
    """The handler of every connection."""

    def on_message(self, ws: Endpoint, message: str | bytes) -> None:
        """Send it back, or do what it says."""
        match message.split() if isinstance(message, str) else ():
            case ["do:close", code, reason]:
                ws.close(int(code), reason)
            case ["do:ping", payload]:
                ws.ping(payload.encode())
            case _:
                ws.send(message)

    def on_pong(self, ws: Endpoint, payload: bytes) -> None:
        """Tell the client that it has answered."""
        ws.send(f"pong {payload.decode()}")

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        """Tell the test how it ended."""
        print(f"closed {close_code} {close_reason}", flush=True)


def main(*origins: str) -> None:
    """Serve until terminated; without an origin every page may connect."""
    server = Server(Echo(), port=0, subprotocols=[SUBPROTOCOL], origins=origins or "any")
    print(f"port {server.addresses[0][1]}", flush=True)
    server.loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
