"""wsfast-serve: finds its listening sockets, and serves, alone or by worker processes."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from wsfast.activation import Notifier, take_sockets
from wsfast.descriptors import raise_descriptor_limit
from wsfast.limits import Limits
from wsfast.listening import address_url, adopt_sockets, listen_for_workers
from wsfast.logs import AccessLog, configure
from wsfast.serve.loading import LoadError, load
from wsfast.serve.options import chosen, parse
from wsfast.server import Server
from wsfast.site import Site
from wsfast.supervisor import Supervisor
from wsfast.tlsconfig import TlsServer
from wsfast.worker import Worker

__all__ = ["main"]

_log = logging.getLogger("wsfast.serve")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run wsfast-serve until SIGINT or SIGTERM; exits with 0 then, with 1 if it cannot serve."""
    options = parse(arguments)
    configure(options.log_level, as_json=options.log_json)
    raise_descriptor_limit()
    try:
        with _pid_file(options.pid_file):
            status = _run(options)
    except (OSError, ValueError, LoadError) as error:
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
            return _serve_alone(options, sockets[0], announce, notify)
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


def _server(options: argparse.Namespace, sockets: list[socket.socket]) -> Server:
    application = load(options.target, options.app_dir)
    limits = options.limits
    if isinstance(application, Site):  # it has its own: the command line changes those it names
        own = application.options.get("limits", Limits())
        limits = dataclasses.replace(own, **chosen(options, Limits))
    return Server(
        application,
        sockets=sockets,
        origins=options.origins,
        proxy_protocol=options.proxy_protocol,
        trusted_proxies=options.trusted_proxies,
        tls=_tls(options),
        limits=limits,
        tracers=[AccessLog()] if options.access_log else [],
    )


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


def _serve_alone(
    options: argparse.Namespace,
    sockets: list[socket.socket],
    announce: Any,
    notify: Notifier,
) -> int:
    """Serve in this process."""
    server = _server(options, sockets)

    def ready() -> None:
        announce()
        notify("READY=1")

    server.run(on_ready=ready, on_stop=lambda: notify("STOPPING=1"), **_drain(options))
    server.loop.close()
    return 0


def _work(options: argparse.Namespace, worker: Worker) -> int:
    """One worker: the module is imported here, so that a restart finds what it says then."""
    try:
        server = _server(options, worker.sockets)
    except (LoadError, OSError, ValueError) as error:
        _log.error("%s", error)
        return 1
    worker.serve(server, **_drain(options))
    server.loop.close()
    return 0
