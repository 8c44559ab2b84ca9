"""picows on uvloop, with the echo of its own documentation."""

from __future__ import annotations

import secure
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

__all__: list[str] = []


class Echo(WSListener):
    """Sends every frame back."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


def route(request: WSUpgradeRequest) -> Echo:
    """Every path has the same listener."""
    return Echo()


async def main() -> None:
    """Serve until the process is ended."""
    server = await ws_create_server(route, "127.0.0.1", 0, backlog=4096, ssl=secure.context())
    port = server.sockets[0].getsockname()[1]
    print(f"listening on {secure.scheme()}://127.0.0.1:{port}/", flush=True)
    await server.serve_forever()


uvloop.run(main())
