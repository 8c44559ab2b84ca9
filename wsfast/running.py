"""Running an application until a signal, as `App.run` and wsfast-serve do.

Alone or by worker processes, under whichever hosting: one way from the options to the end, so
that what is tested of the one holds for the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from wsfast.activation import Notifier, take_sockets
from wsfast.descriptors import raise_descriptor_limit
from wsfast.drain import Drain
from wsfast.errors import LocalProtocolError
from wsfast.limits import Limits
from wsfast.listening import address_url, adopt_sockets, listen, listen_for_workers
from wsfast.logs import AccessLog
from wsfast.metrics import Figures, Metrics, WorkerFigures, parse_address
from wsfast.runoptions import RunOptions
from wsfast.server import Server
from wsfast.site import Origins, Site, site_of
from wsfast.supervisor import Supervisor
from wsfast.tlsconfig import TlsServer
from wsfast.worker import Worker

__all__ = ["REFUSED", "Running"]

_log = logging.getLogger("wsfast.serve")

#: What cannot be served is told in a line; everything else is a traceback.
REFUSED = (OSError, ValueError, LocalProtocolError)


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """An application, and how it is run.

    Attributes:
        load: returns the application; called in each worker process, so that what it imports is
            new after a restart.
        options: how it is run.
        announce: called once, with the URLs of what it listens on, when it does.
        origins: whose pages may connect to a handler that is no `Site`, as for `Server`.
    """

    load: Callable[[], object]
    options: RunOptions
    announce: Callable[[str], object]
    origins: Origins | None = None

    def run(self) -> int:
        """Run until SIGINT or SIGTERM; 0 then, or 1 if workers failed for good.

        Raises:
            OSError: it cannot listen there, or a file cannot be read.
            ValueError, LocalProtocolError: the application cannot be served like that.
        """
        options = self.options
        raise_descriptor_limit()
        notify = Notifier()
        secure = self._tls() is not None  # what is wrong with the files is said now
        with contextlib.ExitStack() as stack:
            stack.enter_context(_pid_file(options.pid_file))
            figures = stack.enter_context(_closing(self._metrics_sockets()))
            places = stack.enter_context(_listening(self.sockets(), options.unix))
            listening = sorted({each.getsockname() for place in places for each in place}, key=str)
            urls = ", ".join(address_url(each, secure=secure) for each in listening)
            if options.workers is None:
                self._serve(places[0], figures, lambda: self.announce(urls), notify)
                return 0
            return Supervisor(
                self._work,
                places,
                stop_seconds=options.drain_seconds + 5,
                on_ready=lambda: self.announce(urls),
                notify=notify,
                metrics=figures,
            ).run()

    def sockets(self) -> list[list[socket.socket]]:
        """What to listen on, for each worker."""
        options = self.options
        workers = options.workers or 1
        if given := [each for _, each in take_sockets()]:
            return [given] * workers
        if options.sockets is not None:
            return [adopt_sockets(options.sockets)] * workers
        if options.fd is not None:
            return [adopt_sockets([socket.socket(fileno=options.fd)])] * workers
        return listen_for_workers(
            workers,
            options.host,
            options.port,
            unix=options.unix,
            shared=options.shared_socket,
            backlog=options.backlog,
        )

    def hosting(self, application: object) -> str:
        """Whose loop it runs on: as asked for, or as the application needs.

        Raises:
            ValueError: uvloop is not installed.
        """
        asked = self.options.hosting
        if asked is None:
            return "asyncio" if any(site_of(application).coroutines) else "alone"
        if asked == "uvloop" and importlib.util.find_spec("uvloop") is None:
            raise ValueError("hosting is 'uvloop', which is not installed")
        return asked

    def server_options(self, application: object, sockets: list[socket.socket]) -> dict[str, Any]:
        """The keyword arguments of the `Server` of an application."""
        options = self.options
        own = application.options.get("limits") if isinstance(application, Site) else None
        return {
            "sockets": sockets,
            "origins": self.origins,
            "proxy_protocol": options.proxy_protocol,
            "trusted_proxies": options.trusted_proxies,
            "tls": self._tls(),
            "limits": dataclasses.replace(own or Limits(), **options.limits),
            "tracers": [*options.tracers, *([AccessLog()] if options.access_log else [])],
        }

    def _tls(self) -> Any:
        """From the files as they are now: a worker that a restart brings has new certificates."""
        options = self.options
        if options.certificate is None:
            return None if options.tls is None else TlsServer.of(options.tls)
        return TlsServer(options.certificate, options.key, client_ca=options.client_ca)

    def _drain(self) -> dict[str, Any]:
        return {
            "close_code": self.options.close_code,
            "connections_per_second": self.options.drain_rate,
            "limit_seconds": self.options.drain_seconds,
        }

    def _metrics_sockets(self) -> list[socket.socket]:
        if self.options.metrics is None:
            return []
        sockets = listen(*parse_address(self.options.metrics))
        for each in sockets:
            url = address_url(each.getsockname()).replace("ws:", "http:")
            _log.info("figures at %smetrics and %sstats", url, url)
        return sockets

    def _serve(
        self,
        sockets: list[socket.socket],
        figures: list[socket.socket],
        announce: Callable[[], object],
        notify: Notifier,
    ) -> None:
        """Serve in this process."""
        pages: list[Metrics] = []

        def ready(server: Server) -> None:
            if figures:
                pages.append(Metrics(figures, server.loop, lambda: _figures_of(server)))
            announce()
            notify("READY=1")

        def done(drain: Drain) -> None:
            for page in pages:
                page.close()

        ending = {"on_stop": lambda: notify("STOPPING=1"), "on_done": done, **self._drain()}
        application = self.load()
        arguments = self.server_options(application, sockets)
        hosting = self.hosting(application)
        if hosting == "alone":
            server = Server(application, **arguments)
            server.run(on_ready=lambda: ready(server), **ending)
            server.loop.close()
        else:
            from wsfast import hosted

            hosted.serve(hosting, application, arguments, on_ready=ready, **ending)

    def _work(self, worker: Worker) -> int:
        """One worker."""
        try:
            application = self.load()
            arguments = self.server_options(application, worker.sockets)
            hosting = self.hosting(application)
            if hosting == "alone":
                server = Server(application, **arguments)
                worker.serve(server, **self._drain())
                server.loop.close()
            else:
                from wsfast import hosted

                hosted.work(worker, hosting, application, arguments, **self._drain())
        except REFUSED as error:
            _log.error("%s", error)
            return 1
        return 0


def _figures_of(server: Server) -> Figures:
    """Of a process that serves by itself."""
    return Figures({}, [WorkerFigures(0, [os.getpid()], server.stats())])


@contextlib.contextmanager
def _pid_file(path: str | None) -> Iterator[None]:
    if path is None:
        yield
        return
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@contextlib.contextmanager
def _closing(sockets: list[socket.socket]) -> Iterator[list[socket.socket]]:
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


@contextlib.contextmanager
def _listening(
    places: list[list[socket.socket]], unix: str | None
) -> Iterator[list[list[socket.socket]]]:
    with _closing(sum(places, [])):
        try:
            yield places
        finally:
            if unix is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(unix)
