"""wsfast-echo: its options, and its worker processes."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Sequence

from wsfast.descriptors import open_descriptors, raise_descriptor_limit
from wsfast.echo.stream import EchoEndpoint
from wsfast.limits import Limits
from wsfast.listening import address_url, listen_for_workers
from wsfast.server import Server
from wsfast.supervisor import Supervisor
from wsfast.tlsconfig import TlsServer
from wsfast.worker import Worker

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run wsfast-echo until SIGINT or SIGTERM; exits with 0 then."""
    options = _parse(arguments)
    logging.basicConfig(format="wsfast-echo: %(message)s", stream=sys.stderr)
    limit = raise_descriptor_limit()
    try:
        options.tls = options.certificate and TlsServer(options.certificate, options.key)
        if options.workers > 1:
            status = _supervise(options, limit)
        else:
            status = _serve(options, limit)
    except (OSError, ValueError) as error:
        print(f"wsfast-echo: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="wsfast-echo",
        description="Sends every WebSocket message back. Stops on SIGINT or SIGTERM: every "
        "connection is closed with 1001.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address or name (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8765, help="0 takes a free one (%(default)s)"
    )
    parser.add_argument("--unix", metavar="PATH", help="listen on a Unix domain socket instead")
    parser.add_argument(
        "--workers", type=_workers, default=1, help="processes that share the port (%(default)s)"
    )
    parser.add_argument(
        "--max-message-bytes",
        type=_size,
        default=16 * 1024 * 1024,
        help="longest message accepted (%(default)s)",
    )
    parser.add_argument("--certificate", metavar="FILE", help="speak TLS with it (wss://)")
    parser.add_argument("--key", metavar="FILE", help="its key, if it is not in the same file")
    options = parser.parse_args(arguments)
    if options.key and not options.certificate:
        parser.error("--key goes with --certificate")
    if options.unix is not None and options.workers > 1:
        parser.error("--unix cannot be shared by --workers")
    return options


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _port(text: str) -> int:
    port = _whole(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not in 0..65535")
    return port


def _workers(text: str) -> int:
    workers = _whole(text)
    if not 1 <= workers <= 1024:
        raise argparse.ArgumentTypeError(f"{workers} is not in 1..1024")
    return workers


def _size(text: str) -> int:
    size = _whole(text)
    if size < 1:
        raise argparse.ArgumentTypeError(f"{size} is less than 1")
    return size


def _announce(address: str, limit: int, used: int, workers: int) -> None:
    """Say where it listens and what it can hold, in a form that programs read, too."""
    print(f"listening on {address}", flush=True)
    held = max(0, limit - used) * workers
    processes = "1 process" if workers == 1 else f"{workers} processes"
    print(f"can hold {held:,} connections: {processes}, {limit:,} descriptors each", flush=True)


def _announce_one(server: Server, limit: int) -> None:
    urls = [address_url(address, secure=server.tls is not None) for address in server.addresses]
    _announce(", ".join(urls), limit, open_descriptors(), 1)


def _server(options: argparse.Namespace, sockets: list[socket.socket] | None) -> Server:
    return Server(
        object(),
        options.host,
        options.port,
        unix=options.unix,
        sockets=sockets,
        tls=options.tls or None,
        origins="any",  # it gives away nothing that it was not sent
        limits=Limits(max_message_bytes=options.max_message_bytes),
        endpoint=EchoEndpoint,
    )


def _serve(options: argparse.Namespace, limit: int) -> int:
    """Serve in this process, until a signal."""
    server = _server(options, None)
    server.run(on_ready=lambda: _announce_one(server, limit))
    server.loop.close()
    return 0


def _supervise(options: argparse.Namespace, limit: int) -> int:
    """Serve in worker processes, until a signal; 1 if they failed."""
    sockets = listen_for_workers(options.workers, options.host, options.port)
    address = sockets[0][0].getsockname()

    def work(worker: Worker) -> None:
        server = _server(options, worker.sockets)
        worker.serve(server)
        server.loop.close()

    def announce() -> None:
        url = address_url(address, secure=bool(options.tls))
        _announce(url, limit, open_descriptors(), options.workers)

    return Supervisor(work, sockets, on_ready=announce).run()
