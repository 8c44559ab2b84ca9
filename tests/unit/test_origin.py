"""wsfast.origin: which pages may connect (RFC 6455 section 10.2)."""

from __future__ import annotations

import pytest

from wsfast.head import Request
from wsfast.origin import check_origin


def request(*origins, host="example.com"):
    headers = [("host", host), *(("origin", origin) for origin in origins)]
    return Request("GET", "/", "1.1", headers)


def allowed(found, policy):
    refusal = check_origin(found, policy)
    if refusal is not None:
        assert refusal.status == 403
        assert refusal.response.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert "10.2" in refusal.reason
    return refusal is None


def test_no_policy_checks_nothing():
    assert allowed(request("https://evil.example"), None)
    assert allowed(request(), None)
    assert allowed(request("a", "b"), None)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://example.com", True),
        ("https://example.com:443", True),
        ("HTTPS://EXAMPLE.com", True),
        ("http://example.com", False),
        ("https://example.com:444", False),
        ("https://example.com.evil", False),
        ("https://evil-example.com", False),
        ("https://sub.example.com", False),
        ("https://example.com/", False),
        ("https://u@example.com", False),
        ("https://example.com https://evil.example", False),
        ("null", False),
        ("", False),
        ("example.com", False),
    ],
)
def test_named_origins(origin, expected):
    assert allowed(request(origin), ["https://example.com"]) is expected
    assert allowed(request(origin), ("http://other", "https://EXAMPLE.com:443")) is expected


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://a", "a", True),
        ("https://a", "a", True),
        ("https://a", "a:443", True),
        ("http://a:8080", "A:8080", True),
        ("http://a:8080", "a", False),
        ("http://a", "a:8080", False),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://a.b", "a", False),
        ("null", "null", False),
        ("", "", False),
        ("file://", "", False),
    ],
)
def test_same_origin(origin, host, expected):
    assert allowed(request(origin, host=host), "same-origin") is expected
    assert allowed(request(origin, host=host), {"same-origin", "https://z"}) is expected


def test_same_origin_goes_by_the_host_of_an_absolute_target():
    found = Request("GET", "http://b/", "1.1", [("host", "a"), ("origin", "http://a")])
    assert not allowed(found, "same-origin")


def test_an_absent_origin_is_named_as_none():
    assert allowed(request(), [None])
    assert allowed(request(), ["same-origin", None])
    assert not allowed(request(), ["same-origin"])
    assert not allowed(request(), [])
    assert not allowed(request("https://a"), [None])


def test_an_opaque_origin_is_named_as_null():
    assert allowed(request("null"), ["null"])
    assert not allowed(request("null"), [None, "same-origin"])


def test_two_origins_are_none():
    assert not allowed(request("https://a", "https://a"), ["https://a", None])


@pytest.mark.parametrize(
    "choice", ["*", "example.com", "https://", "https://a/", "", "https://*.a"]
)
def test_a_policy_that_would_never_match_is_an_error(choice):
    with pytest.raises(ValueError, match="allowed origin"):
        check_origin(request("https://a"), [choice])
