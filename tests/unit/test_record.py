"""A request that is kept as bytes is the same request when it is read again."""

from __future__ import annotations

import sys

import pytest

from sockets import request_head
from wsfast.handshake import Request, ServerHandshake
from wsfast.record import keep_request, recall_request

LINES = ["Cookie: a=1; b=2", "Origin: https://a.example", "X-Twice: 1", "X-Twice: 2"]


def received(head: bytes) -> Request:
    request = ServerHandshake(plain=True).receive(head)
    assert isinstance(request, Request)
    return request


@pytest.mark.parametrize(
    "address", [None, ("127.0.0.1", 54321), ("::1", 1), ("fe80::1%eth0", 65535), ("10.0.0.1", 0)]
)
def test_a_round_trip(address: tuple[str, int] | None) -> None:
    request = received(request_head(*LINES, target="/chat/a%20b?x=1&x=2"))
    request.client_address = address
    again = recall_request(keep_request(request))
    assert again == request and again is not request
    assert (again.raw, again.client_address) == (request.raw, address)
    assert again.cookies == {"a": "1", "b": "2"}
    assert again.query_params == {"x": ["1", "2"]}
    assert again.path == "/chat/a%20b" and again.origin == "https://a.example"
    assert again.header("x-twice") == "1, 2"


@pytest.mark.parametrize("address", [None, ("::1", 80)])
@pytest.mark.parametrize("scheme", [None, "https"])
@pytest.mark.parametrize("host", [None, "public.example:8443"])
def test_what_a_proxy_said_is_kept(
    address: tuple[str, int] | None, scheme: str | None, host: str | None
) -> None:
    request = received(request_head(*LINES))
    request.client_address, request.scheme, request.forwarded_host = address, scheme, host
    again = recall_request(keep_request(request))
    assert again == request
    assert (again.client_address, again.scheme, again.forwarded_host) == (address, scheme, host)


def test_what_came_in_front_of_the_head_is_not_kept() -> None:
    head = request_head()
    assert keep_request(received(b"\r\n" + head)) == head


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_every_method_is_read_again(method: str) -> None:
    request = received(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert recall_request(keep_request(request)).method == method


def test_limits_have_been_kept_once() -> None:
    lines = [f"X-{number}: {'v' * 200}" for number in range(500)]
    handshake = ServerHandshake(max_head_bytes=1 << 20, max_headers=1000)
    request = handshake.receive(request_head(*lines))
    assert isinstance(request, Request)
    assert len(recall_request(keep_request(request)).headers) == len(request.headers) == 505


def test_it_holds_the_head_and_a_few_bytes() -> None:
    request = received(request_head(*LINES))
    request.client_address = ("2001:db8::1234", 54321)
    held = sys.getsizeof(keep_request(request))
    assert held <= len(request.raw) + sys.getsizeof(b"") + 24
