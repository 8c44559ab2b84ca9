"""wsfast.credentials: Basic and Bearer, read strictly, compared in equal time."""

from __future__ import annotations

import asyncio
import base64
import random
import string

import pytest

from wsfast.credentials import Basic, Bearer, basic_credentials, bearer_token
from wsfast.head import Request


def request(*authorizations, **headers):
    lines = [("host", "a"), *(("authorization", value) for value in authorizations)]
    lines += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request("GET", "/", "1.1", lines)


def basic(text, scheme="Basic "):
    raw = text if isinstance(text, bytes) else text.encode()
    return scheme + base64.b64encode(raw).decode()


def challenge(refusal):
    assert refusal.status == 401
    assert refusal.response.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    (value,) = [value for name, value in refusal.headers if name == "WWW-Authenticate"]
    return value


# --- Basic ---------------------------------------------------------------------------------------


def test_the_example_of_rfc_7617():
    assert basic_credentials(request("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")) == (
        "Aladdin",
        "open sesame",
    )
    assert basic_credentials(request("Basic dGVzdDoxMjPCow==")) == ("test", "123\u00a3")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (basic("u:p", "basic "), ("u", "p")),
        (basic("u:p", "BASIC    "), ("u", "p")),
        (basic("u:"), ("u", "")),
        (basic(":"), ("", "")),
        (basic("u:p:q"), ("u", "p:q")),
        (basic("ünï:cödé"), ("ünï", "cödé")),
    ],
)
def test_what_basic_is(value, expected):
    assert basic_credentials(request(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basicdm9pZDo=",
        "Basic\tdTpw",
        "Bearer dTpw",
        "Digest dTpw",
        basic("nocolon"),
        basic("u\0:p"),
        basic("u:p\r\n"),
        basic("u:\x7f"),
        basic(b"u:\xff"),
        basic("u:pp").rstrip("="),
        basic("u:p") + "=",
        basic("u:p") + " ",
        basic("u:p") + ", " + basic("u:p"),
        "Basic dTpx dTpx",
        "Basic dT=pw",
        "Basic dTpw\u00e9",
        "Basic dTpwcR==",  # bits beyond the last byte: the canonical form ends in Q==
        "Basic " + base64.urlsafe_b64encode(b"u:\xc3\xbf\xc3\xbf\xc3\xbe").decode(),
    ],
)
def test_what_basic_is_not(value):
    assert basic_credentials(request(value)) is None


def test_one_authorization_header_or_none():
    assert basic_credentials(request()) is None
    assert basic_credentials(request(basic("u:p"), basic("u:p"))) is None
    assert bearer_token(request()) is None
    assert bearer_token(request("Bearer a", "Bearer a")) is None


def test_a_user_with_the_password_gets_in():
    check = Basic({"alice": "secret", "bob": "pässwörd", "empty": ""})
    assert check(request(basic("alice:secret"))) is None
    assert check(request(basic("bob:pässwörd"))) is None
    assert check(request(basic("empty:"))) is None


@pytest.mark.parametrize(
    "value",
    [basic("alice:secre"), basic("alice:"), basic("mallory:secret"), basic(":"), "Basic !", "x"],
)
def test_all_others_get_401_and_are_asked(value):
    refusal = Basic({"alice": "secret", "bob": "x"}, 'my "realm"\\')(request(value))
    assert challenge(refusal) == 'Basic realm="my \\"realm\\"\\\\", charset="UTF-8"'


def test_without_credentials_they_are_asked_for():
    refusal = Basic({"alice": "secret"})(request())
    assert challenge(refusal) == 'Basic realm="websocket", charset="UTF-8"'
    assert "missing" in refusal.reason


def test_a_function_may_decide():
    check = Basic(lambda user, password: user == password)
    assert check(request(basic("a:a"))) is None
    assert check(request(basic("a:b"))).status == 401


def test_unknown_users_cost_the_same_work(monkeypatch):
    """As many digests and comparisons, of the same lengths, whoever asks."""
    work = []
    module = "wsfast.credentials."
    compare = __import__("hmac").compare_digest
    monkeypatch.setattr(
        module + "hmac.compare_digest",
        lambda a, b: work.append((len(a), len(b))) or compare(a, b),
    )
    check = Basic({"alice": "a long secret", "bob": "x"})
    for text in ("alice:a long secret", "alice:b", "nobody:a long secret"):
        check(request(basic(text)))
    assert work == [(32, 32)] * 3


# --- Bearer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer mF_9.B5f-4.1JqM", "mF_9.B5f-4.1JqM"),
        ("bearer  a~+/==", "a~+/=="),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a b", None),
        ("Bearer a,b", None),
        ("Bearer =a", None),
        ("Bearer a=b", None),
        ('Bearer "a"', None),
        ("Bearer \u00e9", None),
        ("Basic a", None),
    ],
)
def test_what_a_bearer_token_is(value, expected):
    assert bearer_token(request(value)) == expected


def test_tokens_of_a_list_get_in():
    check = Bearer(["one", "two"], "r")
    assert check(request("Bearer one")) is None
    assert check(request("Bearer two")) is None
    assert challenge(check(request("Bearer three"))) == 'Bearer realm="r", error="invalid_token"'
    assert challenge(check(request("nonsense"))) == 'Bearer realm="r", error="invalid_token"'
    assert challenge(check(request())) == 'Bearer realm="r"'  # RFC 6750 section 3.1
    assert Bearer([])(request("Bearer one")).status == 401


def test_a_browser_may_offer_it_as_a_subprotocol():
    check = Bearer({"t0k.en"}, subprotocol_prefix="bearer.")
    assert check(request(sec_websocket_protocol="chat, bearer.t0k.en")) is None
    assert check(request(sec_websocket_protocol="chat, bearer.other")).status == 401
    for offered in ("chat", "bearer.", "bearer.t0k.en, bearer.other"):
        assert "missing" in check(request(sec_websocket_protocol=offered)).reason
    assert Bearer({"t0k.en"})(request(sec_websocket_protocol="bearer.t0k.en")).status == 401


def test_a_browser_may_send_it_as_a_cookie():
    check = Bearer(["t"], cookie="session")
    assert check(request(cookie="a=b; session=t")) is None
    assert check(request(cookie="session=u")).status == 401
    assert "missing" in check(request(cookie="session=")).reason
    assert Bearer(["t"])(request(cookie="session=t")).status == 401


def test_the_header_goes_first():
    """What a page put there by force does not stand in for a header that is wrong."""
    check = Bearer(["t"], cookie="session", subprotocol_prefix="bearer.")
    found = request("Bearer wrong", cookie="session=t", sec_websocket_protocol="bearer.t")
    assert check(found).status == 401
    assert check(request(cookie="session=t", sec_websocket_protocol="bearer.u")).status == 401


# --- both ----------------------------------------------------------------------------------------


def test_an_async_function_is_awaited_and_never_taken_for_yes():
    async def verify(*credentials):
        return credentials[-1] == "good"

    for check, good, bad in (
        (Basic(verify), basic("u:good"), basic("u:bad")),
        (Bearer(verify), "Bearer good", "Bearer bad"),
    ):
        assert asyncio.run(check(request(good))) is None
        assert asyncio.run(check(request(bad))).status == 401
        assert check(request()).status == 401


def test_an_error_of_the_function_is_the_servers():
    with pytest.raises(ZeroDivisionError):
        Bearer(lambda token: 1 // 0)(request("Bearer x"))


@pytest.mark.parametrize("realm", ["a\r\nb", "\u00e9", "\0"])
def test_a_realm_that_cannot_be_sent_is_an_error(realm):
    with pytest.raises(ValueError, match="realm"):
        Basic({}, realm)
    with pytest.raises(ValueError, match="realm"):
        Bearer([], realm)


def test_misuse_is_an_error():
    with pytest.raises(ValueError, match="colon"):
        Basic({"a:b": "c"})
    with pytest.raises(TypeError, match="cannot be called"):
        Basic(3)
    with pytest.raises(TypeError, match="one str"):
        Bearer("token")
    with pytest.raises(ValueError, match="no token"):
        Bearer([], cookie="a b")
    with pytest.raises(ValueError, match="no token"):
        Bearer([], subprotocol_prefix="bearer ")


def test_no_junk_raises_or_gets_in():
    choose = random.Random(7617)
    checks = [Basic({"u": "p"}), Bearer(["token"], cookie="c", subprotocol_prefix="b.")]
    good = [basic("u:p"), "Bearer token"]
    for _ in range(5000):
        value = choose.choice(good)
        at = choose.randrange(len(value))
        value = value[:at] + choose.choice(string.printable[:95] + "\xe9") + value[at + 1 :]
        refusals = [check(request(value)) for check in checks]
        if None in refusals:  # the scheme in another case
            assert value.lower().split(" ")[0] in ("basic", "bearer")
            assert value.split(" ", 1)[1].strip() in {each.split(" ")[1] for each in good}


def test_long_values_cost_no_more_than_their_length():
    for junk in ("Basic " + "=" * 16000, "Basic " + " " * 16000, "Basic " + "A" * 16000 + "!"):
        assert basic_credentials(request(junk)) is None
        assert bearer_token(request(junk)) is None
