"""wsfast.headers: the grammars of RFC 6455 sections 4.1 and 9.1, and what may be written."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth import assert_linear
from wsfast import headers
from wsfast.errors import LocalProtocolError

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~09azAZ"
tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=8)
parameters = st.lists(st.tuples(tokens, st.none() | tokens), max_size=3)
extensions = st.lists(st.tuples(tokens, parameters), min_size=1, max_size=4)


def test_tokens():
    assert all(headers.is_token(character) for character in TOKEN_CHARACTERS)
    assert not any(headers.is_token(character) for character in '()<>@,;:\\"/[]?={} \t\r\n\0é\x7f')
    assert not headers.is_token("")


def test_values_are_shown_escaped_and_cut():
    assert headers.show("a\r\n\xe9") == "'a\\r\\n\\xe9'"
    assert headers.show(b"\x16\x03") == "b'\\x16\\x03'"
    shown = headers.show("x" * 16384)
    assert len(shown) < 90
    assert shown.endswith("...")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("upgrade", True),
        ("UPGRADE", True),
        ("keep-alive, Upgrade", True),
        ("a,\tupgrade\t,b", True),
        (",,upgrade", True),
        ("", False),
        ("upgraded", False),
        ("not upgrade", False),
        ("upgrade;q=1", False),
    ],
)
def test_list_elements_are_found_in_any_case(value, expected):
    assert headers.has_element(value, "upgrade") is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("chat", ["chat"]),
        ("chat, superchat", ["chat", "superchat"]),
        ("b,a", ["b", "a"]),
        (",\ta ,, B,", ["a", "B"]),
        ("v1.x!y, V1.x!y", ["v1.x!y", "V1.x!y"]),
    ],
)
def test_subprotocols(value, expected):
    assert headers.parse_subprotocols(value) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        (" , ,", "empty"),
        ("a b", "'a b' is no token"),
        ("a, (b)", "is no token"),
        ('"a"', "is no token"),
        ("a/b", "is no token"),
        ("é", "is no token"),
        ("a, b, a", "a comes twice"),
    ],
)
def test_what_are_no_subprotocols(value, reason):
    with pytest.raises(ValueError, match="^") as raised:
        headers.parse_subprotocols(value)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("foo", [("foo", [])]),
        ("foo;bar", [("foo", [("bar", None)])]),
        ("foo ; bar = 1 ; bar=2", [("foo", [("bar", "1"), ("bar", "2")])]),
        ('foo; a="b"; c', [("foo", [("a", "b"), ("c", None)])]),
        ('foo; a="\\b\\c"', [("foo", [("a", "bc")])]),
        ("foo, bar; x,foo", [("foo", []), ("bar", [("x", None)]), ("foo", [])]),
        (" ,\t, foo , ,bar,,", [("foo", []), ("bar", [])]),
    ],
)
def test_extensions(value, expected):
    assert headers.parse_extensions(value) == expected
    headers.check_extensions(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        (", ,", "empty"),
        (";", "a token is missing at ';'"),
        ("foo;", "a token is missing at ''"),
        ("foo;;bar", "a token is missing at ';bar'"),
        ("foo; =1", "a token is missing at '=1'"),
        ("foo; a=", "a token is missing at ''"),
        ("foo; a=,b", "a token is missing at ',b'"),
        ("foo=1", "a comma is missing at '=1'"),
        ("foo bar", "a comma is missing at 'bar'"),
        ("foo; a=1 b", "a comma is missing at 'b'"),
        ('foo; a="b', "the quote is not closed"),
        ('foo; a="b\\"', "the quote is not closed"),
        ('foo; a=""', "the quoted '' is no token"),
        ('foo; a="b c"', "the quoted 'b c' is no token"),
        ('foo; a="b""c"', "a comma is missing"),
        ('"foo"', "a token is missing"),
        ("foo; a=é", "a token is missing"),
    ],
)
def test_what_are_no_extensions(value, reason):
    for read in (headers.parse_extensions, headers.check_extensions):
        with pytest.raises(ValueError, match="^") as raised:
            read(value)
        assert reason in str(raised.value)


def test_what_was_read_can_be_changed_by_its_reader():
    headers.parse_extensions("foo; a")[0][1].clear()
    assert headers.parse_extensions("foo; a") == [("foo", [("a", None)])]


@given(extensions)
def test_extensions_come_back(offered):
    assert headers.parse_extensions(headers.format_extensions(offered)) == offered


@given(st.lists(tokens, min_size=1, max_size=5, unique=True))
def test_subprotocols_come_back(offered):
    assert headers.parse_subprotocols(headers.format_subprotocols(offered)) == offered


@given(st.text(TOKEN_CHARACTERS + ' \t,;="\\é', max_size=40))
def test_any_value_is_read_or_a_value_error(value):
    for read in (headers.parse_extensions, headers.parse_subprotocols):
        try:
            found = read(value)
        except ValueError as error:
            assert str(error)
        else:
            assert found


def cost(read, value):
    """Seconds of CPU that a value costs; an error is as good an answer."""
    started = time.thread_time()
    try:
        read(value)
    except ValueError:
        pass
    return time.thread_time() - started


# Each unit once made some library's reader quadratic or worse.
@pytest.mark.parametrize(
    "unit", [",", " ", "; ", "\t,", "a,", "a;", "a=", 'a;b="', '\\"', "a; b,"]
)
@pytest.mark.parametrize("start", ["", "a", 'a;b="'])
def test_cost_grows_with_the_length_not_its_square(unit, start):
    turns = itertools.count()

    def seconds(length):
        # A value not seen before: what the reader remembers must not help.
        value = f"x{next(turns)}," + start + unit * (length // len(unit))
        return cost(headers.check_extensions, value)

    assert_linear(seconds, 4096)


def test_a_cost_that_grows_with_the_square_is_found():
    assert_linear(float, 100)
    with pytest.raises(AssertionError):
        assert_linear(lambda length: float(length**2), 100)


def test_cookies_are_read_as_browsers_write_them():
    assert headers.parse_cookies('a=1; b="2 3";c = 4 ;a=5; junk; =6; d=; e=x=y') == {
        "a": "1",
        "b": "2 3",
        "c": "4",
        "d": "",
        "e": "x=y",
    }
    assert headers.parse_cookies("") == {}
    assert headers.parse_cookies('a="') == {"a": '"'}


def test_cookies_come_back():
    cookies = {"a": "1", "b": "x=y", "c": ""}
    assert headers.parse_cookies(headers.format_cookies(cookies)) == cookies


@pytest.mark.parametrize("cookie", [("a b", "1"), ("", "1"), ("a", "1;b=2"), ("a", "x\r\ny")])
def test_cookies_that_cannot_be_sent(cookie):
    with pytest.raises(LocalProtocolError, match="RFC 6265"):
        headers.format_cookies(dict([cookie]))


@pytest.mark.parametrize("names", [["a", "a"], ["a b"], ["a, b"], [""], ["a\r\n"], ["a", ""]])
def test_subprotocols_that_cannot_be_sent(names):
    with pytest.raises(LocalProtocolError, match="section 4.1"):
        headers.format_subprotocols(names)


def test_a_str_is_no_list_of_subprotocols():
    with pytest.raises(TypeError, match="'chat'"):
        headers.format_subprotocols("chat")
    assert headers.format_subprotocols(name for name in ["a", "b"]) == "a, b"
    assert headers.format_subprotocols([]) == ""


@pytest.mark.parametrize(
    "extension", [("", []), ("a b", []), ("a", [("", None)]), ("a", [("b", "")]), ("a\r", [])]
)
def test_extensions_that_cannot_be_sent(extension):
    with pytest.raises(LocalProtocolError, match="no token"):
        headers.format_extensions([extension])


def test_field_lines():
    assert headers.field_lines([("A", "1"), ("a", "\xe9\t2")]) == "A: 1\r\na: \xe9\t2\r\n"
    assert headers.field_lines({"A": "1"}) == "A: 1\r\n"
    assert headers.field_lines([]) == ""


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\r\nX: y", "\x0b", "\x1f", "\x7f", "\u20ac"])
def test_nothing_is_injected_into_a_header(bad):
    for value in (f"a{bad}b", bad, f"a{bad}", f"{bad}a"):
        with pytest.raises(LocalProtocolError) as raised:
            headers.field_lines([("X-Name", value)])
        assert "X-Name" in str(raised.value)
        assert ascii(value) in str(raised.value)
    with pytest.raises(LocalProtocolError, match="is no token"):
        headers.field_lines([(f"X{bad}", "value")])


def test_reserved_names_are_refused_in_any_case():
    with pytest.raises(LocalProtocolError, match="UPGRADE"):
        headers.field_lines([("UPGRADE", "x")], frozenset({"upgrade"}))
