"""An echo server with a handler in Python, for Autobahn's fuzzingclient; prints its address.

wsfast-echo never makes a Python object of a message: this is the path that applications take.
"""

from __future__ import annotations

from wsfast.endpoint import Endpoint
from wsfast.limits import Limits
from wsfast.server import Server

__all__ = ["main"]

MAX_MESSAGE_BYTES = 16 << 20


class Echo:
    """The handler of every connection."""

    def on_message(self, ws: Endpoint, message: str | bytes) -> None:
        """Send it back."""
        ws.send(message)


def main() -> None:
    """Serve until terminated."""
    server = Server(Echo(), port=0, limits=Limits(max_message_bytes=MAX_MESSAGE_BYTES))
    host, port = server.addresses[0][:2]
    print(f"listening on ws://{host}:{port}/", flush=True)
    server.loop.run()


if __name__ == "__main__":
    main()
