"""wsfast.entrance: who comes, by what proxies say, and whether there is room."""

from __future__ import annotations

import pytest

from wire import pieces
from wsfast.entrance import Entrance
from wsfast.forwarded import TrustedProxies
from wsfast.head import Request
from wsfast.limits import Limits

PROXY, CLIENT = ("10.0.0.1", 4711), ("1.2.3.4", 5678)
LINE = b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


def request(*lines):
    return Request("GET", "/", "1.1", [("host", "a"), *lines])


class Someone:
    """A guest: what an endpoint is for the entrance."""

    def __init__(self, place=None):
        self.counted_at = place


def identified(entrance, peer, *lines):
    found = request(*lines)
    assert entrance.arrive(peer).admit(Someone(), found) is None
    return found.client_address, found.scheme, found.forwarded_host


def test_without_options_the_socket_says_who_comes():
    entrance = Entrance(Limits())
    arrival = entrance.arrive(CLIENT)
    assert arrival.receive(Someone(), b"GET") == b"GET"
    assert arrival.receive(Someone(), LINE) == LINE, "it is left to whoever reads the request"
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
        passed += arrival.receive(Someone(), piece) or b""
    assert passed == b"GET / HTTP/1.1\r\n"
    assert arrival.address == address
    assert arrival.receive(Someone(), LINE) == LINE, "one, and no more"
    assert arrival.fault is None


def test_a_missing_or_malformed_proxy_header_is_a_fault():
    entrance = Entrance(Limits(), proxy_protocol=True, trusted_proxies=["10.0.0.0/8"])
    for data in (b"GET / HTTP/1.1\r\n", LINE.replace(b"TCP4", b"TCP6")):
        arrival = entrance.arrive(PROXY)
        assert arrival.receive(Someone(), data) is None
        assert "proxy-protocol.txt" in arrival.fault


@pytest.mark.parametrize("peer", [CLIENT, "", None])
def test_a_proxy_header_of_somebody_else_is_a_fault(peer):
    entrance = Entrance(Limits(), proxy_protocol=True, trusted_proxies=["10.0.0.0/8"])
    arrival = entrance.arrive(peer)
    assert arrival.receive(Someone(), LINE) is None
    assert "no trusted proxy" in arrival.fault


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
    entrance = Entrance(Limits())
    assert entrance.gate is None
    arrival = entrance.arrive(CLIENT)
    for _ in range(100):
        assert arrival.admit(Someone(), request()) is None


def test_counters():
    assert Entrance(Limits()).counters == {}
    entrance = Entrance(Limits(max_connections=1))
    for number in range(3):
        entrance.arrive(("192.0.2.1", number)).admit(Someone(), request())
    counters = entrance.counters
    assert (counters["admitted"], counters["refused_connections"]) == (1, 2)


def test_limits_count_the_client_that_was_identified():
    limits = Limits(max_connections_per_address=1)
    entrance = Entrance(limits, trusted_proxies="10.0.0.1")
    admission = entrance.admission
    guests = []
    for address, status in (("9.9.9.9", 0), ("9.9.9.9", 429), ("9.9.9.8", 0)):
        found = request(("x-forwarded-for", address))
        guests.append(Someone(entrance.gate(PROXY[0])))
        assert admission.connections == len(guests), "in all it counts from accept on"
        refusal = entrance.arrive(PROXY).admit(guests[-1], found)
        assert (0 if refusal is None else refusal.status) == status
        assert found.client_address == (address, 0)
    for guest in guests:
        guest.counted_at.leave()
    assert (admission.connections, admission.remembered_addresses) == (0, 0)


def test_the_gate_counts_addresses_but_those_of_proxies():
    limits = Limits(max_connections_per_address=1)
    entrance = Entrance(limits, trusted_proxies=["10.0.0.0/8", "unix"], secure=True)
    assert entrance.gate("1.2.3.4").key == "1.2.3.4"
    assert entrance.gate("1.2.3.4") is None, "over TLS nobody waits for an answer"
    assert entrance.gate("::ffff:1.2.3.4") is None
    assert entrance.gate("2001:db8::1").key == 0x20010DB800000000
    assert entrance.gate("2001:db8::2") is None
    for host in ("10.0.0.1", "::ffff:10.0.0.1", None):
        assert entrance.gate(host).key is None
        assert entrance.gate(host).key is None


def test_without_tls_some_wait_for_an_answer():
    entrance = Entrance(Limits(max_connections=1))
    guests = [Someone(entrance.gate("1.2.3.4")) for _ in range(65)]
    assert entrance.gate("1.2.3.4") is None
    assert entrance.counters["turned_away_connections"] == 1
    assert entrance.arrive(CLIENT).admit(guests[0], request()) is None
    assert entrance.arrive(CLIENT).admit(guests[1], request()).status == 503


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_header_says_whose_connection_counts(secure):
    limits = Limits(max_connections_per_address=1)
    trusted = {"proxy_protocol": True, "trusted_proxies": "10.0.0.0/8"}
    entrance = Entrance(limits, secure=secure, **trusted)
    guests, faults, statuses = [], [], []
    for header in (LINE, LINE, LOCAL, LINE.replace(b" 1.2.3.4", b" 10.9.9.9")):
        guests.append(Someone(entrance.gate(PROXY[0])))
        arrival = entrance.arrive(PROXY)
        arrival.receive(guests[-1], header)
        faults.append(arrival.fault)
        if arrival.fault is None:
            refusal = arrival.admit(guests[-1], request())
            statuses.append(None if refusal is None else refusal.status)
    assert [fault is not None for fault in faults] == [False, secure, False, False]
    assert statuses == ([None] * 3 if secure else [None, 429, None, None])
    assert entrance.counters["turned_away_address"] == secure
    if secure:
        assert "('1.2.3.4', 5678) is one connection too many" in faults[1]
    for guest in guests:
        guest.counted_at.leave()
    assert (entrance.admission.connections, entrance.admission.remembered_addresses) == (0, 0)


def test_the_clock_can_be_given():
    now = [0.0]
    limits = Limits(max_handshakes_per_second_per_address=1)
    entrance = Entrance(limits, clock=lambda: now[0])

    def admit(peer):
        return entrance.arrive(peer).admit(Someone(), request())

    assert admit(CLIENT) is None
    assert admit(CLIENT).status == 429
    now[0] = 1.0
    assert admit(CLIENT) is None
    assert admit("") is None, "a Unix socket has no address"
    assert admit("") is None


@pytest.mark.parametrize("secure", [False, True])
def test_each_request_of_a_connection_takes_a_token(secure):
    """The first one's is taken over TLS when the connection comes."""
    limits = Limits(max_handshakes_per_second_per_address=2)
    entrance = Entrance(limits, secure=secure, clock=lambda: 0.0)
    guest = Someone(entrance.gate(CLIENT[0]))
    arrival = entrance.arrive(CLIENT)
    found = [arrival.admit(guest, request()) for _ in range(3)]
    assert [None if each is None else each.status for each in found] == [None, None, 429]
    guest.counted_at.leave()
    assert entrance.admission.connections == 0


def test_misuse_raises_at_construction():
    with pytest.raises(ValueError, match="needs trusted_proxies"):
        Entrance(Limits(), proxy_protocol=True)
    with pytest.raises(ValueError, match="trusted proxy"):
        Entrance(Limits(), trusted_proxies=["nobody"])
