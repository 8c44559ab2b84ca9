"""An echo server on picows, frame by frame, that also closes, pings and sends fragments."""

from __future__ import annotations

import asyncio

from payloads import SUBPROTOCOL
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

__all__ = ["main"]


class Echo(WSListener):
    """One connection."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer; picows answers pings by itself and leaves Close to us."""
        if frame.msg_type == WSMsgType.CLOSE:
            print(f"closed {int(frame.get_close_code())} {frame.get_close_reason()}", flush=True)
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PONG:
            transport.send(WSMsgType.TEXT, b"pong " + frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT and frame.fin:
            self._answer(transport, frame.get_payload_as_utf8_text())
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes(), frame.fin)

    def _answer(self, transport: WSTransport, message: str) -> None:
        match message.split():
            case ["do:close", code, reason]:
                transport.send_close(int(code), reason.encode())
            case ["do:fragments", first, *others]:
                transport.send(WSMsgType.TEXT, first.encode(), fin=False)
                for number, part in enumerate(others, 1):
                    last = number == len(others)
                    transport.send(WSMsgType.CONTINUATION, part.encode(), fin=last)
            case ["do:ping", payload]:
                transport.send_ping(payload.encode())
            case _:
                transport.send(WSMsgType.TEXT, message.encode())


def _accept(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    chosen = {"Sec-WebSocket-Protocol": SUBPROTOCOL} if SUBPROTOCOL in offered else {}
    response = WSUpgradeResponse.create_101_response(extra_headers=chosen)
    return WSUpgradeResponseWithListener(response, Echo())


async def main() -> None:
    """Serve until terminated."""
    server = await ws_create_server(_accept, "127.0.0.1", 0, max_frame_size=1 << 24)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
