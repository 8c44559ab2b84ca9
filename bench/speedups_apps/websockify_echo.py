"""websockify: its request handler, with the loop of its proxy and an echo instead of a target."""

from __future__ import annotations

import logging
import select
from http.server import ThreadingHTTPServer
from typing import Any

from websockify.websockifyserver import WebSockifyRequestHandler

__all__: list[str] = []


class Handler(WebSockifyRequestHandler):
    """Sends every message back."""

    def new_websocket_client(self) -> None:
        unsent = False
        while True:
            writing = [self.request] if unsent else []
            readable, _, _ = select.select([self.request], writing, [])
            frames, closed = self.recv_frames() if readable else ([], None)
            unsent = self.send_frames(frames)
            if closed:
                raise self.CClose(closed["code"], closed["reason"])


def server(listening: Any) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.logger = logging.getLogger("websockify")
        listening(http.server_address[1])
        http.serve_forever()
