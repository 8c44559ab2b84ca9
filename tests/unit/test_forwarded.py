"""wsfast.forwarded: who asks, by what trusted proxies say."""

from __future__ import annotations

import random
import string
import tracemalloc

import pytest

from wsfast.forwarded import Client, TrustedProxies
from wsfast.head import Request

PROXY = ("10.0.0.1", 4711)
TRUSTED = ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]


def request(**headers):
    """Headers by name; a list gives several lines."""
    lines = [("host", "internal")]
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            lines.append((name.replace("_", "-"), value))
    return Request("GET", "/", "1.1", lines)


def who(value, peer=PROXY):
    return TrustedProxies(TRUSTED).resolve(request(x_forwarded_for=value), peer).address


def standard(value, peer=PROXY):
    return TrustedProxies(TRUSTED, "forwarded").resolve(request(forwarded=value), peer)


# --- trust ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.0.0.1", True),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("fe00::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_who_is_trusted(host, trusted):
    assert TrustedProxies(TRUSTED).trusts((host, 1)) is trusted


def test_answers_are_kept_but_not_without_end():
    proxies = TrustedProxies(["10.0.0.0/16"])
    hosts = [f"10.{high}.{low}.1" for high in (0, 1) for low in range(256)]
    for _ in range(2):
        assert [proxies.trusts((host, 1)) for host in hosts] == [True] * 256 + [False] * 256
    tracemalloc.start()
    for number in range(20000):
        proxies.trusts((f"2001:db8::{number:x}", 1))
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 500_000


def test_a_unix_socket_is_trusted_by_name():
    assert not TrustedProxies(TRUSTED).trusts(None)
    assert TrustedProxies("unix").trusts(None)
    assert not TrustedProxies("unix").trusts(("127.0.0.1", 1))
    found = TrustedProxies("unix").resolve(request(x_forwarded_for="1.2.3.4"), None)
    assert found.address == ("1.2.3.4", 0)
    assert TrustedProxies("unix").resolve(request(), None) == Client(None)


def test_whether_anybody_is_trusted():
    assert TrustedProxies("unix")
    assert TrustedProxies(["::1"])
    assert not TrustedProxies([])


@pytest.mark.parametrize("style", ["x-forwarded", "forwarded"])
@pytest.mark.parametrize("peer", [("11.0.0.1", 5), ("2001:db8::1", 5), None])
def test_a_peer_that_is_not_trusted_says_nothing(style, peer):
    found = request(
        x_forwarded_for="1.2.3.4",
        x_forwarded_proto="https",
        x_forwarded_host="evil",
        forwarded="for=1.2.3.4;proto=https;host=evil",
    )
    assert TrustedProxies(TRUSTED, style).resolve(found, peer) == Client(peer)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "example.com", "", "10.0.0.0/33", "*", "Unix"])
def test_what_is_no_network_is_an_error(network):
    with pytest.raises(ValueError, match="trusted proxy"):
        TrustedProxies([network])


def test_what_is_no_style_is_an_error():
    with pytest.raises(ValueError, match="style is 'both'"):
        TrustedProxies(TRUSTED, "both")


# --- X-Forwarded-* -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.2.3.4", ("1.2.3.4", 0)),
        ("1.2.3.4:5678", ("1.2.3.4", 5678)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("2001:DB8:0::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("::ffff:1.2.3.4", ("1.2.3.4", 0)),
        ("  1.2.3.4\t", ("1.2.3.4", 0)),
        (["9.9.9.9", "1.2.3.4"], ("1.2.3.4", 0)),
        # Spoofed by the client, who is 1.2.3.4:
        ("127.0.0.1, 1.2.3.4", ("1.2.3.4", 0)),
        ("10.0.0.9, 1.2.3.4", ("1.2.3.4", 0)),
        (", ,junk\x80, 1.2.3.4", ("1.2.3.4", 0)),
        # Several of our proxies in a row:
        ("9.9.9.9, 1.2.3.4, 10.0.0.2, 10.0.0.3", ("1.2.3.4", 0)),
        ("1.2.3.4, fd00::2, ::ffff:10.0.0.3", ("1.2.3.4", 0)),
        ("10.0.0.4, 10.0.0.3", ("10.0.0.4", 0)),
        # Unknown: the last hop whose address is known.
        ("unknown", PROXY),
        ("1.2.3.4, unknown", PROXY),
        ("1.2.3.4, _hidden, 10.0.0.2", ("10.0.0.2", 0)),
        ("1.2.3.4,", PROXY),
        ("", PROXY),
        ([], PROXY),
        ("localhost", PROXY),
        ("1.2.3.4:99999", PROXY),
        ("1.2.3.4:", PROXY),
        ("1.2.3.04", PROXY),
        ("[1.2.3.4", PROXY),
        ("[]", PROXY),
        ("fe80::1%eth0", PROXY),
        ("1.2.3.4 5.6.7.8", PROXY),
    ],
)
def test_x_forwarded_for(value, expected):
    assert who(value) == expected


def test_the_scheme_and_host_of_the_client():
    proxies = TrustedProxies(TRUSTED)
    found = request(
        x_forwarded_for="1.2.3.4", x_forwarded_proto="HTTPS", x_forwarded_host="example.com:8443"
    )
    assert proxies.resolve(found, PROXY) == Client(("1.2.3.4", 0), "https", "example.com:8443")
    found = request(x_forwarded_proto="https", x_forwarded_host="[::1]")
    assert proxies.resolve(found, PROXY) == Client(PROXY, "https", "[::1]")


def test_the_scheme_of_the_outermost_proxy_holds():
    """Two proxies: the outer one ended TLS, the client had made up what stands left."""
    proxies = TrustedProxies(TRUSTED)
    found = request(
        x_forwarded_for="6.6.6.6, 1.2.3.4, 10.0.0.2",
        x_forwarded_proto="wss, https, http",
        x_forwarded_host="evil, example.com, inner",
    )
    assert proxies.resolve(found, PROXY) == Client(("1.2.3.4", 0), "https", "example.com")
    found = request(x_forwarded_for="1.2.3.4, 10.0.0.2", x_forwarded_proto="https")
    assert proxies.resolve(found, PROXY).scheme == "https"
    found = request(x_forwarded_for="1.2.3.4", x_forwarded_proto="https, http")
    assert proxies.resolve(found, PROXY).scheme == "http"


@pytest.mark.parametrize("junk", ["", "ftp", "https://", "a b", "e\r\nvil", "<", "a/b", "\xe9"])
def test_junk_is_no_scheme_and_no_host(junk):
    found = request(x_forwarded_for="1.2.3.4", x_forwarded_proto=junk, x_forwarded_host=junk)
    client = TrustedProxies(TRUSTED).resolve(found, PROXY)
    assert client.scheme is None
    assert client.host in (None, "ftp")


def test_the_other_header_comes_from_the_client():
    found = request(forwarded="for=6.6.6.6;proto=https;host=evil")
    assert TrustedProxies(TRUSTED).resolve(found, PROXY) == Client(PROXY)
    found = request(x_forwarded_for="6.6.6.6", x_forwarded_proto="https", x_forwarded_host="e")
    assert TrustedProxies(TRUSTED, "forwarded").resolve(found, PROXY) == Client(PROXY)


# --- Forwarded -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.43", ("192.0.2.43", 0)),
        ('For="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", 4711)),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", ("192.0.2.60", 0)),
        ("for=9.9.9.9, for=198.51.100.17", ("198.51.100.17", 0)),
        (["for=9.9.9.9", "for=198.51.100.17;by=x"], ("198.51.100.17", 0)),
        ('for="1.2.3.4:80" ; proto=https', ("1.2.3.4", 80)),
        ('for="1.2.3.4:_port"', ("1.2.3.4", 0)),
        (r'for="1\.2.3.4"', ("1.2.3.4", 0)),
        ("FOR=1.2.3.4;x=y;", ("1.2.3.4", 0)),
        ("for=6.6.6.6, for=1.2.3.4, for=10.0.0.2", ("1.2.3.4", 0)),
        # A quote left open, and commas inside of quotes, swallow nothing of ours.
        ('for="6.6.6.6, for=1.2.3.4', ("1.2.3.4", 0)),
        ('for=1.2.3.4;host="a, for=6.6.6.6"', ("1.2.3.4", 0)),
        (r'for=1.2.3.4;host="a, for=6.6.6.6;x=\"b\""', ("1.2.3.4", 0)),
        (r'for=1.2.3.4;host="\", for=6.6.6.6;x=\"b"', ("1.2.3.4", 0)),
        ('for="x, for=1.2.3.4, for=10.0.0.2', ("1.2.3.4", 0)),
        ("for=unknown", PROXY),
        ("for=_hidden", PROXY),
        ('for="_SEVKISEK"', PROXY),
        ("for=1.2.3.4, for=unknown", PROXY),
        ("for=1.2.3.4, by=10.0.0.2", PROXY),
        ("for=1.2.3.4;for=6.6.6.6", PROXY),
        ("for=1.2.3.4 proto=http", PROXY),
        ("for=[::1]", PROXY),
        ("for", PROXY),
        ("=1.2.3.4", PROXY),
        ("", PROXY),
        (",", PROXY),
        ('"', PROXY),
    ],
)
def test_forwarded(value, expected):
    assert standard(value).address == expected


def test_forwarded_scheme_and_host():
    assert standard('for=1.2.3.4;proto=https;host="example.com:8443"') == Client(
        ("1.2.3.4", 0), "https", "example.com:8443"
    )
    outer = 'for=6.6.6.6;proto=ws;host=evil, for=1.2.3.4;proto=https;host=a, for="10.0.0.2"'
    assert standard(outer) == Client(("1.2.3.4", 0), "https", "a")
    assert standard("for=1.2.3.4, proto=https") == Client(PROXY, "https")
    assert standard('for=1.2.3.4;proto=gopher;host="a/b"') == Client(("1.2.3.4", 0))


# --- whatever comes ------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["x-forwarded", "forwarded"])
def test_what_the_client_makes_up_never_changes_what_a_proxy_says(style):
    """Junk in front of an honest entry, for each of the two headers."""
    choose = random.Random(7239)
    proxies = TrustedProxies(TRUSTED, style)
    pieces = ["for=", '"', "\\", ",", ";", "10.0.0.1", "[::1]", "=", " ", "proto=https", "_x", ":"]
    name = "x_forwarded_for" if style == "x-forwarded" else "forwarded"
    ours = "1.2.3.4" if style == "x-forwarded" else 'for=1.2.3.4;host="a,b\\"c"'
    for _ in range(5000):
        junk = "".join(choose.choices([*pieces, choose.choice(string.printable[:95])], k=9))
        for value in (f"{junk}, {ours}", [junk, ours]):
            client = proxies.resolve(request(**{name: value}), PROXY)
            assert client == Client(("1.2.3.4", 0)), value


@pytest.mark.parametrize("style", ["x-forwarded", "forwarded"])
def test_long_values_cost_no_more_than_their_length(style):
    proxies = TrustedProxies(["0.0.0.0/0", "::/0"], style)
    for junk in (",", '"', "for=1.1.1.1,", 'for="', "a=b;", 'a="\\",', "1.1.1.1,", ":", "[", "a="):
        value = (junk * 16000)[:16000]
        proxies.resolve(request(x_forwarded_for=value, forwarded=value), PROXY)
