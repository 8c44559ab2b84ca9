"""The foreign clients, brought to one form: connect, send, receive, ping, close, wait_closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

__all__ = ["CLIENTS", "Client", "Connect"]

MAX_MESSAGE_BYTES = 1 << 24


class Client(Protocol):
    """One open connection of a foreign client."""

    subprotocol: str | None

    async def send(self, message: str | bytes) -> None:
        """Send a message as one frame."""

    async def send_fragments(self, parts: Sequence[str]) -> None:
        """Send a text message as one frame for each part."""

    async def receive(self) -> str | bytes:
        """The next message."""

    async def ping(self, payload: bytes) -> None:
        """Send a ping and wait for the pong with the same payload."""

    async def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""

    async def wait_closed(self) -> tuple[int, str]:
        """Wait for the end of the connection: the close code and reason that we received."""


#: Opens a connection to a URL, offering subprotocols.
Connect = Callable[[str, Sequence[str]], Any]


class WebsocketsClient:
    """websockets, its asyncio client."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws
        self.subprotocol = ws.subprotocol
        self.send = ws.send
        self.receive = ws.recv
        self.close = ws.close

    @classmethod
    async def connect(cls, url: str, subprotocols: Sequence[str]) -> WebsocketsClient:
        from websockets.asyncio.client import connect

        offered: Any = list(subprotocols) or None
        return cls(await connect(url, subprotocols=offered, max_size=MAX_MESSAGE_BYTES))

    async def send_fragments(self, parts: Sequence[str]) -> None:
        await self.ws.send(parts)

    async def ping(self, payload: bytes) -> None:
        await (await self.ws.ping(payload))

    async def wait_closed(self) -> tuple[int, str]:
        await self.ws.wait_closed()
        close = self.ws.protocol.close_rcvd
        return (close.code, close.reason)


class AiohttpClient:
    """aiohttp; it has no way to send a fragment.

    Without autoping pongs come to us, and pings are ours to answer.
    """

    def __init__(self, session: Any, ws: Any) -> None:
        from aiohttp import WSMsgType

        self.types = WSMsgType
        self.session = session
        self.ws = ws
        self.subprotocol = ws.protocol

    @classmethod
    async def connect(cls, url: str, subprotocols: Sequence[str]) -> AiohttpClient:
        import aiohttp

        session = aiohttp.ClientSession()
        try:
            ws = await session.ws_connect(
                url, protocols=subprotocols, autoping=False, max_msg_size=MAX_MESSAGE_BYTES
            )
        except BaseException:
            await session.close()
            raise
        return cls(session, ws)

    async def send(self, message: str | bytes) -> None:
        send = self.ws.send_str if isinstance(message, str) else self.ws.send_bytes
        await send(message)

    async def receive(self) -> str | bytes:
        message = await self.ws.receive()
        while message.type == self.types.PING:
            await self.ws.pong(message.data)
            message = await self.ws.receive()
        data: str | bytes = message.data
        return data

    async def ping(self, payload: bytes) -> None:
        await self.ws.ping(payload)
        assert await self.receive() == payload

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code=code, message=reason.encode())
        await self.session.close()

    async def wait_closed(self) -> tuple[int, str]:
        message = None if self.ws.closed else await self.ws.receive()
        await self.session.close()
        # A close that we began ourselves leaves aiohttp without the peer's reason.
        return (self.ws.close_code, message.extra if message else "")


class PicowsClient:
    """picows, which hands on frames; we join them."""

    def __init__(self, transport: Any, frames: asyncio.Queue[tuple[Any, bytes, bool]]) -> None:
        from picows import WSMsgType

        self.types = WSMsgType
        self.transport = transport
        self.frames = frames
        self.subprotocol = transport.response.headers.get("Sec-WebSocket-Protocol")

    @classmethod
    async def connect(cls, url: str, subprotocols: Sequence[str]) -> PicowsClient:
        from picows import WSListener, ws_connect

        frames: asyncio.Queue[tuple[Any, bytes, bool]] = asyncio.Queue()

        class Listener(WSListener):
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                frames.put_nowait((frame.msg_type, frame.get_payload_as_bytes(), frame.fin))

        headers = {"Sec-WebSocket-Protocol": ", ".join(subprotocols)} if subprotocols else {}
        transport, _ = await ws_connect(
            Listener, url, extra_headers=headers, max_frame_size=MAX_MESSAGE_BYTES
        )
        return cls(transport, frames)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.transport.send(self.types.TEXT, message.encode())
        else:
            self.transport.send(self.types.BINARY, message)

    async def send_fragments(self, parts: Sequence[str]) -> None:
        for number, part in enumerate(parts, 1):
            kind = self.types.TEXT if number == 1 else self.types.CONTINUATION
            self.transport.send(kind, part.encode(), fin=number == len(parts))

    async def receive(self) -> str | bytes:
        kind, data, fin = await self.frames.get()
        while kind == self.types.PING:  # answered by picows
            kind, data, fin = await self.frames.get()
        while not fin:
            _, more, fin = await self.frames.get()
            data += more
        return data.decode() if kind == self.types.TEXT else data

    async def ping(self, payload: bytes) -> None:
        self.transport.send_ping(payload)
        assert await self.frames.get() == (self.types.PONG, payload, True)

    async def close(self, code: int, reason: str) -> None:
        self.transport.send_close(code, reason.encode())

    async def wait_closed(self) -> tuple[int, str]:
        kind, data, _ = await self.frames.get()
        assert kind == self.types.CLOSE
        code, reason = int.from_bytes(data[:2], "big"), data[2:]
        if not self.transport.is_close_frame_sent:
            self.transport.send_close(code, reason)
        # The server closes TCP first (RFC 6455 section 7.1.1): no disconnect from this side.
        await self.transport.wait_disconnected()
        return (code, reason.decode())


#: Name of the package -> how to connect with it.
CLIENTS: dict[str, Connect] = {
    "websockets": WebsocketsClient.connect,
    "aiohttp": AiohttpClient.connect,
    "picows": PicowsClient.connect,
}
