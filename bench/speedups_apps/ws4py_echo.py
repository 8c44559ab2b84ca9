"""ws4py: its wsgiref server and its threaded client."""

from __future__ import annotations

import threading
from typing import Any
from wsgiref.simple_server import make_server

from ws4py.client.threadedclient import WebSocketClient
from ws4py.server.wsgirefserver import WebSocketWSGIRequestHandler, WSGIServer
from ws4py.server.wsgiutils import WebSocketWSGIApplication
from ws4py.websocket import EchoWebSocket

from speedups_apps.job import Job

__all__: list[str] = []


class Exchange(WebSocketClient):
    """Does a job."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.url)
        self.job = job
        self.failed: Exception | None = None
        self.ended = threading.Event()

    def opened(self) -> None:
        self.job.begin(lambda _: self.send(self.job.data, binary=not self.job.text))

    def received_message(self, message: Any) -> None:
        try:
            if self.job.answered(message.data):
                return
        except ValueError as error:
            self.failed = error
        self.close()

    def closed(self, code: int, reason: str | None = None) -> None:
        self.ended.set()


def server(listening: Any) -> None:
    application = WebSocketWSGIApplication(handler_cls=EchoWebSocket)
    kinds = {"server_class": WSGIServer, "handler_class": WebSocketWSGIRequestHandler}
    wsgi = make_server("127.0.0.1", 0, application, **kinds)
    wsgi.initialize_websockets_manager()
    listening(wsgi.server_port)
    wsgi.serve_forever()


def client(job: Job) -> None:
    exchange = Exchange(job)
    exchange.connect()
    exchange.ended.wait()
    if exchange.failed:
        raise exchange.failed
