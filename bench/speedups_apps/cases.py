"""What is measured: one line for each way in which a library is used."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CASES", "Case"]


class Case(NamedTuple):
    """One way in which a library is used.

    Attributes:
        library: its name on the package index.
        name: which part of it.
        module: the module here that uses it.
        entry: the function there; a client if its name says so, else a server.
        patched: the library that is patched, where that is another one.
        environment: variables to set.
        hidden: modules that it shall not find.
        text: whether it has text messages.
        deflate: whether the peer asks for permessage-deflate.
        broker: whether the peer is the MQTT broker instead of wsfast-echo.
    """

    library: str
    name: str
    module: str
    entry: str
    patched: str = ""
    environment: dict[str, str] = {}
    hidden: tuple[str, ...] = ("wsaccel",)
    text: bool = True
    deflate: bool = False
    broker: bool = False

    @property
    def target(self) -> str:
        """What `wsfast.speedups.install` is asked for."""
        return self.patched or self.library

    @property
    def is_client(self) -> bool:
        """Whether the library connects."""
        return "client" in self.entry


PURE = {"AIOHTTP_NO_EXTENSIONS": "1"}
WITHOUT_NVX = {"AUTOBAHN_USE_NVX": "0"}
WITHOUT_NUMPY = ("wsaccel", "numpy")

CASES = (
    Case("websockets", "asyncio server", "websockets_echo", "asyncio_server"),
    Case(
        "websockets", "asyncio server, deflate", "websockets_echo", "deflate_server", deflate=True
    ),
    Case("websockets", "sync server", "websockets_echo", "sync_server"),
    Case("websockets", "trio server", "websockets_echo", "trio_server"),
    Case("websockets", "asyncio client", "websockets_echo", "asyncio_client"),
    Case("websockets", "sync client", "websockets_echo", "sync_client"),
    Case("websockets", "trio client", "websockets_echo", "trio_client"),
    Case("uvicorn", "server, websockets-sansio", "uvicorn_echo", "sansio_server", "websockets"),
    Case("uvicorn", "server, wsproto", "uvicorn_echo", "wsproto_server", "wsproto"),
    Case("hypercorn", "server", "hypercorn_echo", "asyncio_server", "wsproto"),
    Case("simple-websocket", "server", "simple_websocket_echo", "server", "wsproto"),
    Case("simple-websocket", "client", "simple_websocket_echo", "client", "wsproto"),
    Case("trio-websocket", "server", "trio_websocket_echo", "server", "wsproto"),
    Case("trio-websocket", "client", "trio_websocket_echo", "client", "wsproto"),
    Case("websocket-client", "client", "websocket_client_echo", "client"),
    Case("websocket-client", "client, wsaccel", "websocket_client_echo", "client", hidden=()),
    Case("autobahn", "server, NVX", "autobahn_echo", "server"),
    Case("autobahn", "server", "autobahn_echo", "server", environment=WITHOUT_NVX),
    Case("autobahn", "client, NVX", "autobahn_echo", "client"),
    Case("autobahn", "client", "autobahn_echo", "client", environment=WITHOUT_NVX),
    Case("tornado", "server", "tornado_echo", "server"),
    Case("tornado", "client", "tornado_echo", "client"),
    Case("aiohttp", "server", "aiohttp_echo", "server"),
    Case("aiohttp", "client", "aiohttp_echo", "client"),
    Case("aiohttp", "server, pure Python", "aiohttp_echo", "server", environment=PURE),
    Case("aiohttp", "client, pure Python", "aiohttp_echo", "client", environment=PURE),
    Case("paho-mqtt", "client", "paho_mqtt_echo", "client", text=False, broker=True),
    Case("ws4py", "server", "ws4py_echo", "server"),
    Case("ws4py", "client", "ws4py_echo", "client"),
    Case("gevent-websocket", "server", "gevent_websocket_echo", "server"),
    Case("eventlet", "server", "eventlet_echo", "server"),
    Case("lomond", "client", "lomond_echo", "client"),
    Case("websockify", "server", "websockify_echo", "server", text=False),
    Case(
        "websockify",
        "server, without numpy",
        "websockify_echo",
        "server",
        text=False,
        hidden=WITHOUT_NUMPY,
    ),
)
