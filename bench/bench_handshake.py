"""The server's opening handshake without I/O: ours beside those of websockets and wsproto.

    python -m bench.bench_handshake

Each sampler takes the same request of a browser in one segment and writes the 101. Peers that are
not installed are left out by name.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
from collections.abc import Callable, Iterator

from bench.interleave import Row, interleave, row, table, timed
from wsfast.handshake import ClientHandshake, Request, ServerHandshake

__all__ = ["REQUEST", "main", "measure", "rows"]

#: What Chromium sends from a page of the same host: twelve headers, 492 bytes.
REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com:8080\r\nConnection: Upgrade\r\n"
    b"Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
    b"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
    b"Upgrade: websocket\r\nOrigin: http://example.com:8080\r\nSec-WebSocket-Version: 13\r\n"
    b"Accept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#: 15,000 connections a second on one core leave 66 us for each; the loop needs the larger part.
MAX_SECONDS = 12e-6


def by_wsfast(data: bytes) -> bytes:
    """Ours."""
    handshake = ServerHandshake()
    request = handshake.receive(data)
    assert isinstance(request, Request)
    return handshake.accept(request)


def in_two_segments(data: bytes) -> bytes:
    """Ours, when the request is cut in the middle."""
    handshake = ServerHandshake()
    handshake.receive(data[:250])
    request = handshake.receive(data[250:])
    assert isinstance(request, Request)
    return handshake.accept(request)


def by_websockets(data: bytes) -> bytes:
    """The sans-I/O protocol of websockets."""
    from websockets.server import ServerProtocol

    protocol = ServerProtocol()
    protocol.receive_data(data)
    (request,) = protocol.events_received()
    protocol.send_response(protocol.accept(request))
    return b"".join(protocol.data_to_send())


def by_wsproto(data: bytes) -> bytes:
    """wsproto, which reads HTTP with h11."""
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection

    connection = WSConnection(ConnectionType.SERVER)
    connection.receive_data(data)
    list(connection.events())
    return connection.send(AcceptConnection())


def ask(url: str) -> bytes:
    """The client's request, key included."""
    return ClientHandshake(url).request


def servers() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Name and function of each server that is installed."""
    yield "wsfast", by_wsfast
    yield "wsfast, two segments", in_two_segments
    for name, function in (("websockets", by_websockets), ("wsproto", by_wsproto)):
        if importlib.util.find_spec(name):
            yield name, function
        else:
            print(f"{name} is not installed: left out")


def measure(seconds: float = 4.0) -> dict[str, list[float]]:
    """Seconds per handshake of each server, and per request of our client, one a round."""
    samplers = {}
    for name, function in servers():
        assert ACCEPT in function(REQUEST), name
        samplers[name] = timed(function, REQUEST)
    samplers["client's request"] = timed(ask, "ws://example.com:8080/chat?room=1")
    return interleave(samplers, seconds=seconds)


def rows(samples: dict[str, list[float]]) -> list[Row]:
    """The lines of the table."""
    lines = [
        row(f"handshake, {peer} / wsfast", samples, peer, "wsfast", ">= 3")
        for peer in ("websockets", "wsproto")
        if peer in samples
    ]
    lines.append(
        row("in two segments / in one", samples, "wsfast, two segments", "wsfast", "<= 1.5")
    )
    limit = [MAX_SECONDS] * len(samples["wsfast"])
    samples = {**samples, "12 us": limit}
    lines.append(row("handshake / 12 us (absolute)", samples, "wsfast", "12 us", "<= 1"))
    return lines


def main() -> int:
    """Measure and print; 0 if every target is met."""
    samples = measure()
    for name, figures in samples.items():
        print(f"{name:56} {statistics.median(figures) * 1e6:8.2f} us")
    return 0 if table("Opening handshake", rows(samples)) else 1


if __name__ == "__main__":
    sys.exit(main())
