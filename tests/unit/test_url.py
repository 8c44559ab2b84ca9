"""wsfast.url: what a WebSocket URL is, and what is none (RFC 6455 section 3)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsfast.errors import InvalidURL, WebSocketError
from wsfast.url import WebSocketURL, parse_url


def parts(url):
    parsed = parse_url(url)
    return parsed.secure, parsed.host, parsed.port, parsed.target, parsed.authority


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://example.com", (False, "example.com", 80, "/", "example.com")),
        ("wss://example.com/", (True, "example.com", 443, "/", "example.com")),
        ("WSS://Example.COM:443/A", (True, "example.com", 443, "/A", "example.com")),
        ("ws://example.com:443/a", (False, "example.com", 443, "/a", "example.com:443")),
        ("ws://example.com:/a", (False, "example.com", 80, "/a", "example.com")),
        ("ws://a:65535?q=1&r", (False, "a", 65535, "/?q=1&r", "a:65535")),
        ("ws://a/b//c/../d?x=/?", (False, "a", 80, "/b//c/../d?x=/?", "a")),
        ("ws://a/?", (False, "a", 80, "/?", "a")),
        ("ws://a/b@c:d", (False, "a", 80, "/b@c:d", "a")),
        ("ws://127.0.0.1:8080/", (False, "127.0.0.1", 8080, "/", "127.0.0.1:8080")),
        ("ws://[::1]/", (False, "::1", 80, "/", "[::1]")),
        ("ws://[0:0::1]:81/", (False, "::1", 81, "/", "[::1]:81")),
        ("ws://[fe80::1%25eth0]/", (False, "fe80::1%eth0", 80, "/", "[fe80::1]")),
        (
            "ws://bücher.example/",
            (False, "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example"),
        ),
        ("ws://a/é?ü=%41", (False, "a", 80, "/%C3%A9?%C3%BC=%41", "a")),
        ("ws://a_b/", (False, "a_b", 80, "/", "a_b")),
    ],
)
def test_parts(url, expected):
    assert parts(url) == expected


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://a/", "the scheme is http"),
        ("a/b", "scheme://"),
        ("ws:/a", "scheme://"),
        ("//a", "scheme://"),
        ("", "scheme://"),
        ("ws://", "host is missing"),
        ("ws:///a", "host is missing"),
        ("ws://:80/", "host is missing"),
        ("ws://a/#", "fragment"),
        ("ws://a#b", "fragment"),
        ("ws://a/b c", "' ' must be percent-encoded"),
        (" ws://a/", "' ' must be percent-encoded"),
        ("ws://a/\r\nX: y", "must be percent-encoded"),
        ("ws://a/\t", "must be percent-encoded"),
        ("ws://a\x00/", "must be percent-encoded"),
        ("ws://a/\x7f", "must be percent-encoded"),
        ("ws://a:0/", "the port is '0'"),
        ("ws://a:65536/", "the port is '65536'"),
        ("ws://a:8o/", "the port is '8o'"),
        ("ws://a:-1/", "the port is '-1'"),
        ("ws://a:²/", "the port is '\\xb2'"),
        ("ws://a:000080/", "the port is '000080'"),
        ("ws://a:1:2/", "scheme://"),
        ("ws://[::1/", "scheme://"),
        ("ws://::1/", "scheme://"),
        ("ws://[a]/", "no IPv6 address"),
        ("ws://[1.2.3.4]/", "no IPv6 address"),
        ("ws://[fe80::1%eth0]/", "no IPv6 address"),
        ("ws://[fe80::1%25]/", "no IPv6 address"),
        ("ws://a\\b/", "the host is 'a\\\\b'"),
        ("ws://a%00b/", "the host is 'a%00b'"),
        ("ws://a<b>/", "the host is"),
        ("ws://ü..é/", "no IDNA form"),
        ("ws://a/\ud800", "no UTF-8 form"),
        ("ws://u@v@a/", "scheme://"),
        ("ws://a%3Ab:c@h/", "no colon"),
        ("ws://a%0d%0aX:c@h/", "no control character"),
    ],
)
def test_what_is_no_url(url, rule):
    with pytest.raises(InvalidURL) as raised:
        parse_url(url)
    assert rule in str(raised.value)
    assert "RFC" in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, WebSocketError)


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("user:secret", b"user:secret"),
        ("user", b"user:"),
        (":p", b":p"),
        ("u%40:p%3Aq", b"u@:p:q"),
        ("é:ü", "é:ü".encode()),
    ],
)
def test_userinfo_becomes_basic_credentials(userinfo, credentials):
    scheme, _, encoded = str(parse_url(f"ws://{userinfo}@a/").authorization).partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded) == credentials
    assert parse_url("ws://a/").authorization is None


def test_a_password_never_shows():
    with pytest.raises(InvalidURL) as raised:
        parse_url("ws://user:secret@a:99999/")
    assert "secret" not in str(raised.value)
    assert "ws://***@a:99999/" in str(raised.value)


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_an_error(text):
    for url in (text, f"ws://{text}", f"ws://a/{text}", f"ws://a:{text}", f"ws://[{text}]"):
        try:
            parsed = parse_url(url)
        except InvalidURL:
            continue
        assert isinstance(parsed, WebSocketURL)
        assert (parsed.target + parsed.authority).isascii()
        assert (parsed.target + parsed.authority).isprintable()
        assert " " not in parsed.target + parsed.authority
        assert parsed.target.startswith("/")
        assert 0 < parsed.port < 65536
