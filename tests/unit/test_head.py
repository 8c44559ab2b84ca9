"""wsfast.head: looking into a Request and a Response."""

from __future__ import annotations

import pytest

from wsfast.head import Request, Response


def request(*headers, target="/"):
    return Request("GET", target, "1.1", list(headers))


def test_headers_are_found_in_any_case():
    found = request(("accept", "a"), ("x", "1"), ("accept", "b"))
    assert found.header("Accept") == "a, b"
    assert found.header_values("ACCEPT") == ["a", "b"]
    assert found.header("y") is None
    assert found.header_values("y") == []
    assert Response(200, "OK", [("x", "1")]).header("X") == "1"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("/", "/", "", "h"),
        ("/a?b", "/a", "b", "h"),
        ("/a?", "/a", "", "h"),
        ("/?a?b", "/", "a?b", "h"),
        ("//a/b", "//a/b", "", "h"),
        ("/http://x/", "/http://x/", "", "h"),
        ("http://x", "/", "", "x"),
        ("http://x?q", "/", "q", "x"),
        ("https://x:1/a?q", "/a", "q", "x:1"),
        ("WS://x/ws://y/", "/ws://y/", "", "x"),
    ],
)
def test_targets(target, path, query, host):
    found = request(("host", "h"), target=target)
    assert (found.path, found.query, found.host, found.target) == (path, query, host, target)


def test_the_query_as_a_form():
    assert request(target="/?a=1&b=&a=%32+3&c").query_params == {
        "a": ["1", "2 3"],
        "b": [""],
        "c": [""],
    }
    assert request().query_params == {}
    assert request(target="/?%ff=%").query_params == {"\ufffd": ["%"]}


def test_a_path_is_decoded_on_request():
    assert request(target="/%C3%A9%2F%ff").decoded_path == "/é/\ufffd"


def test_what_is_absent():
    found = request()
    assert (found.host, found.origin, found.authorization) == ("", None, None)
    assert (found.cookies, found.subprotocols, found.extensions) == ({}, [], [])


def test_lists_go_over_several_lines():
    found = request(
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("sec-websocket-protocol", "x"),
        ("sec-websocket-protocol", "y, z"),
        ("sec-websocket-extensions", "e"),
        ("sec-websocket-extensions", "f; g=1"),
    )
    assert found.cookies == {"a": "1", "b": "2"}
    assert found.subprotocols == ["x", "y", "z"]
    assert found.extensions == [("e", []), ("f", [("g", "1")])]


@pytest.mark.parametrize(
    ("scheme", "secure"),
    [(None, False), ("http", False), ("ws", False), ("https", True), ("wss", True)],
)
def test_a_proxy_says_whether_it_was_secure(scheme: str | None, secure: bool) -> None:
    assert Request("GET", "/", "1.1", [], scheme=scheme).secure is secure
