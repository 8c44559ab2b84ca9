"""Connection.send of websockets' asyncio: a coroutine function, so it is written in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .methods import stand_in
from .websockets_asyncio import Connections

__all__ = ["make_send"]


def make_send(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """Connection.send, by `Connections.send` as long as all is well.

    Args:
        original: the library's own; it has got `text` only by keyword since 16.0.
        connections: the library.
    """
    send_at_once = connections.send

    async def send(self: Any, message: Any, *, text: Any = None) -> None:
        sent = send_at_once(self, message, text)
        if sent is None:
            await original(self, message, text=text)
        elif not sent:
            async with self.send_context():
                pass

    async def send_positional(self: Any, message: Any, text: Any = None) -> None:
        sent = send_at_once(self, message, text)
        if sent is None:
            await original(self, message, text)
        elif not sent:
            async with self.send_context():
                pass

    if "text" in (original.__kwdefaults__ or ()):
        return stand_in(send, original)
    return stand_in(send_positional, original)
