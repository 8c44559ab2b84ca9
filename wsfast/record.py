"""A request that is kept for as long as its connection lives: as its bytes, and nothing else.

Headers as Python objects are three to five times as large as the head that they came in, and most
connections never look at them again. So what is kept is the head as it came, and behind its empty
line the address of the client, which cannot be asked for once the socket is closed, and what a
trusted proxy said of it.
"""

from __future__ import annotations

import sys

from wsfast.head import Request
from wsfast.headreader import RequestReader

__all__ = ["keep_request", "recall_request"]

_END = b"\r\n\r\n"


def keep_request(request: Request) -> bytes:
    """The record of a request: its head, and what is known of its client beside it."""
    host, port = request.client_address or ("", 0)
    if request.scheme is None and request.forwarded_host is None:
        return b"%b%d %b" % (request.raw, port, host.encode()) if host else request.raw
    said = f"{port} {host}\n{request.scheme or ''}\n{request.forwarded_host or ''}"
    return request.raw + said.encode()


def recall_request(record: bytes) -> Request:
    """Read a request again from its record; each call makes another object."""
    head, end, said = record.partition(_END)
    reader = RequestReader(sys.maxsize, sys.maxsize, None)  # it kept the limits when it came
    request = Request(*reader.parse(head + end), raw=head + end)
    if said:
        address, _, proxy = said.decode().partition("\n")
        port, _, host = address.partition(" ")
        request.client_address = (host, int(port)) if host else None
        scheme, _, forwarded_host = proxy.partition("\n")
        request.scheme, request.forwarded_host = scheme or None, forwarded_host or None
    return request
