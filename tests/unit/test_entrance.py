"""wsfast.entrance: who comes, by what proxies say, and whether there is room."""

from __future__ import annotations

import pytest

from wire import pieces
from wsfast.entrance import Entrance
from wsfast.forwarded import TrustedProxies
from wsfast.head import Request
from wsfast.limits import Limits
from wsfast.proxy import ProxyFault

PROXY, CLIENT = ("10.0.0.1", 4711), ("1.2.3.4", 5678)
LINE = b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


def request(*lines):
    return Request("GET", "/", "1.1", [("host", "a"), *lines])


def identified(entrance, peer, *lines):
    found = request(*lines)
    assert entrance.arrive(peer).admit(found, pytest.fail) is None
    return found.client_address, found.scheme, found.forwarded_host


def test_without_options_the_socket_says_who_comes():
    entrance = Entrance(Limits())
    arrival = entrance.arrive(CLIENT)
    assert arrival.receive(b"GET") == b"GET"
    assert arrival.receive(LINE) == LINE, "it is left to whoever reads the request"
    assert arrival.address == CLIENT
    spoofed = ("x-forwarded-for", "9.9.9.9")
    assert identified(entrance, CLIENT, spoofed) == (CLIENT, None, None)
    assert identified(entrance, "", spoofed) == (None, None, None)


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    ("header", "address"), [(LINE, CLIENT), (LOCAL, PROXY), (b"PROXY UNKNOWN\r\n", PROXY)]
)
def test_a_proxy_header_is_taken_off(header, address, step):
    entrance = Entrance(Limits(), proxy_protocol=True, trusted_proxies=["10.0.0.0/8"])
    arrival = entrance.arrive(PROXY)
    passed = b""
    for piece in pieces(header + b"GET / HTTP/1.1\r\n", step):
        passed += arrival.receive(piece) or b""
    assert passed == b"GET / HTTP/1.1\r\n"
    assert arrival.address == address
    assert arrival.receive(LINE) == LINE, "one, and no more"


def test_a_missing_or_malformed_proxy_header_is_a_fault():
    entrance = Entrance(Limits(), proxy_protocol=True, trusted_proxies=["10.0.0.0/8"])
    for data in (b"GET / HTTP/1.1\r\n", LINE.replace(b"TCP4", b"TCP6")):
        assert isinstance(entrance.arrive(PROXY).receive(data), ProxyFault)


@pytest.mark.parametrize("peer", [CLIENT, "", None])
def test_a_proxy_header_of_somebody_else_is_a_fault(peer):
    entrance = Entrance(Limits(), proxy_protocol=True, trusted_proxies=["10.0.0.0/8"])
    found = entrance.arrive(peer).receive(LINE)
    assert isinstance(found, ProxyFault)
    assert "no trusted proxy" in found.reason


def test_one_header_may_stand_behind_the_other():
    """The client's address of the PROXY header is that of a proxy which writes the header."""
    entrance = Entrance(Limits(), proxy_protocol=True, trusted_proxies=["10.0.0.0/8"])
    lines = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https")]
    assert identified(entrance, CLIENT, *lines) == (CLIENT, None, None)
    assert identified(entrance, ("10.0.0.2", 1), *lines) == (("9.9.9.9", 0), "https", None)


def test_what_the_socket_module_calls_an_address():
    entrance = Entrance(Limits(), trusted_proxies=["unix", "fe80::/10"])
    line = ("x-forwarded-for", "9.9.9.9")
    for peer, address in (
        (("fe80::1%eth0", 5, 0, 2), ("9.9.9.9", 0)),
        (("fe00::1", 5, 0, 0), ("fe00::1", 5)),
        ("", ("9.9.9.9", 0)),
        ("/run/client", ("9.9.9.9", 0)),
        (None, ("", 0)),  # gone already: that is no Unix socket
    ):
        assert identified(entrance, peer, line)[0] == address


def test_the_other_style():
    entrance = Entrance(Limits(), trusted_proxies=TrustedProxies("10.0.0.1", "forwarded"))
    line = ("forwarded", "for=9.9.9.9;host=example.com")
    assert identified(entrance, PROXY, line) == (("9.9.9.9", 0), None, "example.com")


def test_without_limits_all_are_admitted():
    arrival = Entrance(Limits()).arrive(CLIENT)
    for _ in range(100):
        assert arrival.admit(request(), pytest.fail) is None


def test_counters():
    assert Entrance(Limits()).counters == {}
    entrance = Entrance(Limits(max_connections=1))
    for number in range(3):
        entrance.arrive(("192.0.2.1", number)).admit(request(), lambda release: None)
    counters = entrance.counters
    assert (counters["admitted"], counters["refused_connections"]) == (1, 2)


def test_limits_count_the_client_that_was_identified():
    limits = Limits(max_connections_per_address=1)
    entrance = Entrance(limits, trusted_proxies="10.0.0.1")
    admission = entrance.admission
    releases = []
    for address, status in (("9.9.9.9", 0), ("9.9.9.9", 429), ("9.9.9.8", 0)):
        found = request(("x-forwarded-for", address))
        refusal = entrance.arrive(PROXY).admit(found, releases.append)
        assert (0 if refusal is None else refusal.status) == status
        assert found.client_address == (address, 0)
    assert (admission.connections, len(releases)) == (2, 2)
    for release in releases:
        release()
    assert (admission.connections, admission.remembered_addresses) == (0, 0)


def test_the_clock_can_be_given():
    now = [0.0]
    limits = Limits(max_handshakes_per_second_per_address=1)
    entrance = Entrance(limits, clock=lambda: now[0])

    def admit(peer):
        return entrance.arrive(peer).admit(request(), lambda release: None)

    assert admit(CLIENT) is None
    assert admit(CLIENT).status == 429
    now[0] = 1.0
    assert admit(CLIENT) is None
    assert admit("") is None, "a Unix socket has no address"
    assert admit("") is None


def test_misuse_raises_at_construction():
    with pytest.raises(ValueError, match="needs trusted_proxies"):
        Entrance(Limits(), proxy_protocol=True)
    with pytest.raises(ValueError, match="trusted proxy"):
        Entrance(Limits(), trusted_proxies=["nobody"])
