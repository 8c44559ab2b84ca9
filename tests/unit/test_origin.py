"""wsfast.origin: which pages may connect (RFC 6455 section 10.2)."""

from __future__ import annotations

import random
import string

import pytest

from wsfast.head import Request
from wsfast.origin import OriginPolicy


def request(*origins, host="example.com"):
    headers = [("host", host), *(("origin", origin) for origin in origins)]
    return Request("GET", "/", "1.1", headers)


def allowed(found, policy):
    refusal = OriginPolicy(policy).check(found)
    if refusal is not None:
        assert refusal.status == 403
        assert refusal.response.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert "10.2" in refusal.reason
    return refusal is None


def test_any_checks_nothing():
    assert allowed(request("https://evil.example"), "any")
    assert allowed(request(), ["any"])
    assert allowed(request("a", "b"), "any")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://example.com", True),
        ("https://example.com:443", True),
        ("https://example.com:0443", True),
        ("HTTPS://EXAMPLE.com", True),
        ("http://example.com", False),
        ("http://example.com:443", False),
        ("https://example.com:444", False),
        ("https://example.com:", False),
        ("https://example.com:99999", False),
        ("https://example.com.", False),
        ("https://example.com.evil", False),
        ("https://evil-example.com", False),
        ("https://sub.example.com", False),
        ("https://example.com/", False),
        ("https://example.com?", False),
        ("https://example.com#", False),
        ("https://example.com\\", False),
        ("https://u@example.com", False),
        ("https://u:p@example.com", False),
        ("https://example.com https://evil.example", False),
        ("https://example.com,https://evil.example", False),
        ("https:example.com", False),
        ("//example.com", False),
        ("https://ex\xe4mple.com", False),
        ("https://%65xample.com", False),
        ("null", False),
        ("same", False),
        ("any", False),
        ("", False),
        ("example.com", False),
    ],
)
def test_named_origins(origin, expected):
    assert allowed(request(origin), ["https://example.com"]) is expected
    assert allowed(request(origin), "https://example.com") is expected
    assert allowed(request(origin), ("http://other", "https://EXAMPLE.com:443")) is expected


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://a", "a", True),
        ("https://a", "a", True),
        ("https://a", "a:443", True),
        ("http://a", "a:80", True),
        ("https://a", "a:80", False),
        ("http://a:8080", "A:8080", True),
        ("http://a:8080", "a", False),
        ("http://a", "a:8080", False),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://[::1]:8080", "[0:0:0:0:0:0:0:1]:8080", True),
        ("http://a.b", "a", False),
        ("null", "null", False),
        ("same", "same", False),
        ("", "", False),
        ("file://", "", False),
        ("chrome-extension://a", "a", False),
        ("ws://a", "a", False),
        ("https://a", "", False),
        ("https://a", "a:99999", False),
    ],
)
def test_the_same_origin(origin, host, expected):
    assert allowed(request(origin, host=host), "same") is expected
    assert allowed(request(origin, host=host), {"same", "https://z"}) is expected


@pytest.mark.parametrize(
    ("scheme", "by_http", "by_https"),
    [(None, True, True), ("http", True, True), ("https", False, True), ("wss", False, True)],
)
@pytest.mark.parametrize("host", ["example.com", "example.com:8443"])
def test_what_came_over_tls_wants_a_page_that_did(scheme, by_http, by_https, host):
    for page, expected in (("http", by_http), ("https", by_https)):
        found = request(f"{page}://{host}", host=host)
        found.scheme = scheme
        assert allowed(found, "same") is expected
        found.tls, found.scheme = object(), None
        assert allowed(found, "same") is (page == "https")
        assert allowed(found, ["same", f"http://{host}"]), "unless it is named"


def test_same_goes_by_the_host_of_an_absolute_target():
    found = Request("GET", "http://b/", "1.1", [("host", "a"), ("origin", "http://a")])
    assert not allowed(found, "same")


def test_an_absent_origin_is_named_as_none():
    assert allowed(request(), [None])
    assert allowed(request(), ["same", None])
    assert not allowed(request(), "same")
    assert not allowed(request(), ["https://example.com"])
    assert not allowed(request(), [])
    assert not allowed(request("https://a"), [None])


def test_an_opaque_origin_is_named_as_null():
    assert allowed(request("null"), ["null"])
    assert allowed(request("null"), "null")
    assert not allowed(request("NULL"), "null")
    assert not allowed(request("null"), [None, "same"])


def test_the_words_of_a_policy_are_no_origins():
    assert not allowed(request("same"), ["same", "null"])


def test_two_origins_are_none():
    assert not allowed(request("https://a", "https://a"), ["https://a", None])


@pytest.mark.parametrize(
    ("configured", "sent"),
    [
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://B\u00dcCHER.example:443", "https://xn--bcher-kva.example"),
        ("http://\u4f8b\u3048.jp:8080", "http://xn--r8jz45g.jp:8080"),
        ("https://\u4f8b\u3048\u3002jp", "https://xn--r8jz45g.jp"),
        ("https://\U0001f9a4.example", "https://xn--0t9h.example"),
        ("https://xn--bcher-kva.example", "https://XN--bcher-kva.example"),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]"),
        ("https://[2001:db8::1]:8443", "https://[2001:0db8:0:0:0:0:0:1]:8443"),
        ("http://[::ffff:1.2.3.4]", "http://[::ffff:102:304]"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://my_host", "http://my_host"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("https://a:444", "https://a:444"),
    ],
)
def test_what_is_configured_is_spelled_as_browsers_do(configured, sent):
    assert allowed(request(sent), [configured])
    assert not allowed(request(sent + "0"), [configured])


@pytest.mark.parametrize(
    "choice",
    [
        *("*", "example.com", "https://", "https://a/", "", "https://*.a", "https://a:", "same "),
        *("https://a:65536", "https://a:b", "https://u@a", "https://[::1", "https://[g::]"),
        *("https://[fe80::1%25eth0]", "http://127.1", "http://0x7f000001", "http://1.2.3.04."),
        *("https://stra\u00dfe.example", "https://a\u200db.example", "https://\u03c3\u03c2.gr"),
        "https://" + "\u00fc" * 64 + ".example",
        *("https://\uff0fa.b", "https://\u00fc:x", "https://[\u00fc]"),
        *("ANY", "https://a\\b", "https://a, https://b"),
    ],
)
def test_a_policy_that_would_never_match_is_an_error(choice):
    with pytest.raises(ValueError, match="allowed origin"):
        OriginPolicy([choice])


def test_what_is_no_policy_is_an_error():
    with pytest.raises(ValueError, match='"any" stands alone'):
        OriginPolicy(["any", "https://a"])
    with pytest.raises(TypeError, match="origins is None"):
        OriginPolicy(None)
    with pytest.raises(TypeError, match="neither a str nor None"):
        OriginPolicy([b"https://a"])


def test_no_junk_raises_or_gets_in():
    """The pieces of origins in any order, and single characters changed."""
    choose = random.Random(10)
    policy = OriginPolicy(["https://example.com", "http://[::1]:8080", "same"])
    good = ["https://example.com", "http://[::1]:8080", "https://host:1"]
    pieces = ["https", "://", "example.com", ":", "443", "[::1]", "[", "]", "@", "null", "/", "%"]
    kept = 0
    for _ in range(3000):
        if choose.random() < 0.5:
            text = "".join(choose.choices(pieces, k=choose.randrange(8)))
        else:
            origin = choose.choice(good)
            at = choose.randrange(len(origin))
            text = origin[:at] + choose.choice(string.printable + "\xe4") + origin[at + 1 :]
        if policy.check(request(text, host="host:1")) is None:
            kept += 1
            spelled = text.lower().removesuffix(":443").replace("http://host", "https://host")
            assert spelled in good or "[" in spelled, text
    assert kept > 10


def test_a_name_has_an_end():
    long = "a." * 127 + "b"
    assert allowed(request(f"https://{long}:8443"), [f"https://{long}:8443"])
    assert allowed(request(f"https://{long}"), [f"https://{long}:443"])
    assert not allowed(request("https://" + "a" * 400, host="a" * 400), "same")


def test_a_long_origin_costs_no_more_than_its_length():
    for junk in ("a" * 16000, ":" * 16000, "https://" + "a." * 8000, "https://[" + ":" * 16000):
        assert not allowed(request(junk), ["https://example.com", "same"])
