"""wsfast-serve: finds its listening sockets, and serves, alone or by worker processes."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wsfast.activation import Notifier, take_sockets
from wsfast.descriptors import raise_descriptor_limit
from wsfast.errors import LocalProtocolError
from wsfast.limits import Limits
from wsfast.listening import address_url, adopt_sockets, listen_for_workers
from wsfast.logs import AccessLog, configure
from wsfast.serve.loading import LoadError, load
from wsfast.serve.options import chosen, parse
from wsfast.server import Server
from wsfast.site import Site, site_of
from wsfast.supervisor import Supervisor
from wsfast.tlsconfig import TlsServer
from wsfast.worker import Worker

__all__ = ["main"]

_log = logging.getLogger("wsfast.serve")

#: What cannot be served is told in a line; everything else is a traceback.
_REFUSED = (OSError, ValueError, LoadError, LocalProtocolError)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run wsfast-serve until SIGINT or SIGTERM; exits with 0 then, with 1 if it cannot serve."""
    options = parse(arguments)
    configure(options.log_level, as_json=options.log_json)
    raise_descriptor_limit()
    try:
        with _pid_file(options.pid_file):
            status = _run(options)
    except _REFUSED as error:
        _log.error("%s", error)
        status = 1
    sys.exit(status)


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


def _run(options: argparse.Namespace) -> int:
    notify = Notifier()
    secure = _tls(options) is not None  # what is wrong with the files is said now
    sockets = _sockets(options)
    listening = sorted({each.getsockname() for place in sockets for each in place}, key=str)

    def announce() -> None:
        urls = [address_url(each, secure=secure) for each in listening]
        print(f"listening on {', '.join(urls)}", flush=True)

    try:
        if options.workers is None:
            return _serve(options, sockets[0], announce, notify)
        return Supervisor(
            lambda worker: _work(options, worker),
            sockets,
            stop_seconds=options.drain_seconds + 5,
            on_ready=announce,
            notify=notify,
        ).run()
    finally:
        for each in sum(sockets, []):
            each.close()
        if options.unix is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(options.unix)


def _sockets(options: argparse.Namespace) -> list[list[socket.socket]]:
    """What to listen on, for each worker."""
    workers = options.workers or 1
    if given := [each for _, each in take_sockets()]:
        return [given] * workers
    if options.fd is not None:
        return [adopt_sockets([socket.socket(fileno=options.fd)])] * workers
    return listen_for_workers(
        workers, options.host, options.port, unix=options.unix, shared=options.shared_socket
    )


def _hosting(options: argparse.Namespace, application: object) -> str:
    """Whose loop it runs on: as asked for, or as the application needs."""
    if options.hosting is None:
        return "asyncio" if any(site_of(application).coroutines) else "alone"
    if options.hosting == "uvloop" and importlib.util.find_spec("uvloop") is None:
        raise LoadError("--hosting uvloop: uvloop is not installed")
    return str(options.hosting)


def _server_options(
    options: argparse.Namespace, application: object, sockets: list[socket.socket]
) -> dict[str, Any]:
    """The keyword arguments of the `Server` of an application."""
    limits = options.limits
    if isinstance(application, Site):  # it has its own: the command line changes those it names
        own = application.options.get("limits", Limits())
        limits = dataclasses.replace(own, **chosen(options, Limits))
        if options.origins is not None:
            raise LoadError(f"--origin: {options.target} is an App, which says itself who may")
    return {
        "sockets": sockets,
        "origins": options.origins,
        "proxy_protocol": options.proxy_protocol,
        "trusted_proxies": options.trusted_proxies,
        "tls": _tls(options),
        "limits": limits,
        "tracers": [AccessLog()] if options.access_log else [],
    }


def _tls(options: argparse.Namespace) -> TlsServer | None:
    """From the files as they are now: a worker that a restart brings has new certificates."""
    if options.certificate is None:
        return None
    return TlsServer(options.certificate, options.key, client_ca=options.client_ca)


def _drain(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "close_code": options.close_code,
        "connections_per_second": options.drain_rate,
        "limit_seconds": options.drain_seconds,
    }


def _serve(
    options: argparse.Namespace,
    sockets: list[socket.socket],
    announce: Callable[[], object],
    notify: Notifier,
) -> int:
    """Serve in this process."""

    def ready() -> None:
        announce()
        notify("READY=1")

    def stop() -> None:
        notify("STOPPING=1")

    application = load(options.target, options.app_dir)
    arguments = _server_options(options, application, sockets)
    hosting = _hosting(options, application)
    if hosting == "alone":
        server = Server(application, **arguments)
        server.run(on_ready=ready, on_stop=stop, **_drain(options))
        server.loop.close()
    else:
        from wsfast.serve import hosted

        ending = {"on_ready": ready, "on_stop": stop, **_drain(options)}
        hosted.serve(hosting, application, arguments, **ending)
    return 0


def _work(options: argparse.Namespace, worker: Worker) -> int:
    """One worker: the module is imported here, so that a restart finds what it says then."""
    try:
        application = load(options.target, options.app_dir)
        arguments = _server_options(options, application, worker.sockets)
        hosting = _hosting(options, application)
        if hosting == "alone":
            server = Server(application, **arguments)
            worker.serve(server, **_drain(options))
            server.loop.close()
        else:
            from wsfast.serve import hosted

            hosted.work(worker, hosting, application, arguments, **_drain(options))
    except _REFUSED as error:
        _log.error("%s", error)
        return 1
    return 0
