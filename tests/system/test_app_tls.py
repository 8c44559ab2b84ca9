"""An App behind TLS, in every hosting: wss:// and https:// on one port, and who is the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hosted import ASYNC_HOSTINGS, HOSTINGS, Hosted, Wire, hosted
from sockets import request_head
from wsfast.app import App

certificates = pytest.importorskip("certificates", reason="trustme is not installed")

PAGE = b"GET /secure HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def secure_app(*, coroutines: bool = False) -> App:
    app = App(origins="same")

    @app.websocket("/{room}")
    class Room:
        def on_open(self, ws: Any) -> None:
            ws.send(f"{ws.path_params['room']} {ws.request.secure} {ws.request.tls.version}")

        def on_message(self, ws: Any, message: Any) -> None:
            ws.send(message)

    if coroutines:

        @app.websocket("/later")
        async def later(ws: Any, message: Any) -> None:
            await asyncio.sleep(0)
            ws.send(message * 2)

    @app.get("/secure")
    def secure(request: Any) -> str:
        return str(request.secure)

    return app


def secured(serving: Hosted) -> Wire:
    """A client past its TLS handshake."""
    wire = serving.connect()
    context = certificates.client().context
    wire.socket = context.wrap_socket(wire.socket, server_hostname="127.0.0.1")
    return wire


@pytest.mark.parametrize("hosting", HOSTINGS)
def test_routes_and_pages_over_tls(hosting: str) -> None:
    with hosted(hosting, secure_app(), tls=certificates.server()) as serving:
        wire = secured(serving).upgrade("/lobby", "Origin: https://127.0.0.1")
        assert wire.message() == b"lobby True TLSv1.3"
        for size in (1, 126, 70_000):
            assert wire.ask("x" * size) == b"x" * size
        wire.goodbye()
        page = secured(serving).send(PAGE)
        assert page.head().startswith(b"HTTP/1.1 200 ") and page.rest() == b"True"
        refused = secured(serving).send(request_head(target="/a/b"))
        assert refused.head().startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("hosting", ASYNC_HOSTINGS)
def test_coroutines_over_tls(hosting: str) -> None:
    app = secure_app(coroutines=True)
    with hosted(hosting, app, tls=certificates.server()) as serving:
        wire = secured(serving).upgrade("/later", "Origin: https://127.0.0.1")
        assert wire.ask("ab") == b"abab"


@pytest.mark.parametrize("hosting", HOSTINGS)
@pytest.mark.parametrize(
    ("page", "over_tls", "plain"),
    [
        ("https://127.0.0.1", b"101", b"101"),
        ("http://127.0.0.1", b"403", b"101"),
        ("https://foreign.example", b"403", b"403"),
    ],
)
def test_the_same_origin_over_tls_is_https(
    hosting: str, page: str, over_tls: bytes, plain: bytes
) -> None:
    head = request_head(f"Origin: {page}", target="/echo")
    app = App(origins="same")
    app.websocket("/echo")(lambda ws, message: None)
    with hosted(hosting, app, tls=certificates.server()) as serving:
        assert secured(serving).send(head).head().split(b" ")[1] == over_tls
    with hosted(hosting, app) as serving:
        assert serving.connect().send(head).head().split(b" ")[1] == plain


@pytest.mark.parametrize("hosting", HOSTINGS)
def test_the_end_is_told_over_tls(hosting: str) -> None:
    with hosted(hosting, secure_app(), tls=certificates.server()) as serving:
        wire = secured(serving).upgrade("/lobby", "Origin: https://127.0.0.1")
        wire.message()
        drain = serving.call(lambda: serving.server.drain(close_code=1012))
        wire.expect_close(1012)
        serving.wait(lambda: drain.done)
