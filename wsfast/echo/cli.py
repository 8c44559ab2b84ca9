"""wsfast-echo: its options, and its worker processes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

from wsfast.callback import CallbackStream
from wsfast.descriptors import open_descriptors, raise_descriptor_limit
from wsfast.echo.stream import EchoEndpoint
from wsfast.limits import Limits
from wsfast.listening import resolve
from wsfast.server import Server, stop_on_signal

__all__ = ["main"]

_STOPPING = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run wsfast-echo until SIGINT or SIGTERM; exits with 0 then."""
    options = _parse(arguments)
    logging.basicConfig(format="wsfast-echo: %(message)s", stream=sys.stderr)
    limit = raise_descriptor_limit()
    try:
        if options.workers > 1:
            status = _supervise(options, limit)
        else:
            status = _serve(options, lambda server: _announce_one(server, limit))
    except OSError as error:
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
    options = parser.parse_args(arguments)
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


def _url(address: object) -> str:
    if isinstance(address, str):
        return f"ws+unix:{address}"
    assert isinstance(address, tuple)
    host, port = address[:2]
    return f"ws://[{host}]:{port}/" if ":" in host else f"ws://{host}:{port}/"


def _announce_one(server: Server, limit: int) -> None:
    _announce(", ".join(map(_url, server.addresses)), limit, open_descriptors(), 1)


def _serve(options: argparse.Namespace, ready: Callable[[Server], None]) -> int:
    """Serve until a signal; `ready` is called once connections are accepted."""
    server = Server(
        object(),
        options.host,
        options.port,
        unix=options.unix,
        origins="any",  # it gives away nothing that it was not sent
        reuse_port=options.workers > 1,
        limits=Limits(max_message_bytes=options.max_message_bytes),
        endpoint=EchoEndpoint,
    )
    with stop_on_signal(server.loop):
        ready(server)
        server.loop.run()
        server.close()
    server.loop.close()
    return 0


def _supervise(options: argparse.Namespace, limit: int) -> int:
    """Start the workers, pass signals on, and end when all have; 1 if one of them failed."""
    workers: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(worker, signal.SIGTERM)

    with _reserve(options) as reserved:
        options.host, options.port = reserved.getsockname()[:2]
        # A signal that comes while there are workers and no handler yet would leave them behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        alive, ours = os.pipe()  # `ours` is closed when this process ends, however it does
        workers += [_fork(options, alive, ours) for _ in range(options.workers)]
        for number in _STOPPING:
            signal.signal(number, stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        _announce(_url((options.host, options.port)), limit, open_descriptors(), options.workers)
        failed = False
        while workers:
            worker, status = os.wait()
            workers.remove(worker)
            if status and not failed:
                failed = True
                print(f"wsfast-echo: worker {worker} failed, stopping", file=sys.stderr)
                stop(signal.SIGTERM, None)
    return int(failed)


def _reserve(options: argparse.Namespace) -> socket.socket:
    """Bind the port without listening, so that the workers find it theirs."""
    family, address = resolve(options.host, options.port)[0]
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        reserved.bind(address)
    except OSError as error:
        reserved.close()
        raise OSError(error.errno, f"cannot listen on {address!r}: {error.strerror}") from error
    return reserved


def _report_ready(writing: int) -> None:
    """In a worker that accepts connections and has handlers for what the supervisor blocked."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    os.close(writing)


def _work(options: argparse.Namespace, writing: int, alive: int) -> int:
    """One worker: serve until a signal, or until the supervisor is gone."""

    def ready(server: Server) -> None:
        _report_ready(writing)
        CallbackStream(
            server.loop.selector, alive, selectors.EVENT_READ, lambda events: server.loop.stop()
        )

    return _serve(options, ready)


def _fork(options: argparse.Namespace, alive: int, ours: int) -> int:
    """Start one worker process; returns once it accepts connections, or has failed.

    Args:
        options: what to serve.
        alive, ours: both ends of a pipe whose writing end only the supervisor holds.
    """
    reading, writing = os.pipe()
    worker = os.fork()
    if worker == 0:
        status = 1
        for number in _STOPPING:  # once it has served, a further one must not look like a failure
            signal.signal(number, signal.SIG_IGN)
        try:
            os.close(ours)
            status = _work(options, writing, alive)
        except OSError as error:
            print(f"wsfast-echo: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return worker
