"""A second instrument: a blocking client that shares no code with the first one.

It sends a small binary message over a plain socket, waits for the answer, and notes the time
that passed; Python's socket module and its clock, nothing of wsfast. What it is slower by is a
few microseconds for each message.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from urllib.parse import urlsplit

__all__ = ["median_round_trip"]

#: 20 random bytes in a binary frame whose masking key is zero, and how its answer begins.
PAYLOAD = os.urandom(20)
QUESTION = b"\x82\x94\0\0\0\0" + PAYLOAD
ANSWER = b"\x82\x14" + PAYLOAD

REQUEST = """GET / HTTP/1.1\r
Host: {host}\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r
Sec-WebSocket-Version: 13\r
\r
"""


def median_round_trip(url: str, seconds: float) -> float:
    """Echo one message after the other for so long; returns the median, in nanoseconds.

    Args:
        url: of an echo server, ws:// with an address and a port.
        seconds: how long; at least one message is sent.

    Raises:
        OSError: the server is not there, ends the connection, or answers something else.
    """
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.sendall(REQUEST.format(host=parts.netloc).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _read(wire, 1)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise OSError(f"{url} answered {head.splitlines()[0]!r}, not 101")
        taken: list[int] = []
        ends = time.perf_counter() + seconds
        while not taken or time.perf_counter() < ends:
            taken.append(_round_trip(wire))
    return statistics.median(taken)


def _round_trip(wire: socket.socket) -> int:
    send, receive, clock = wire.send, wire.recv, time.perf_counter_ns  # nothing else is timed
    start = clock()
    send(QUESTION)
    answer = receive(len(ANSWER))
    taken = clock() - start
    if answer != ANSWER:
        raise OSError(f"the answer to {QUESTION!r} is {answer!r}")
    return taken


def _read(wire: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = wire.recv(size - len(data))
        if not piece:
            raise OSError("the server ended the connection")
        data += piece
    return data
