"""wsfast.headreader: heads from segments, limits, strictness whatever the parser's version."""

from __future__ import annotations

import re
import time

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth import assert_linear
from wsfast import headreader
from wsfast.headreader import BadHead, RequestReader, ResponseReader

HEAD = b"GET /a HTTP/1.1\r\nHost: a\r\nX:  b \t\r\nEmpty:\r\nEmpty2:   \r\nX: c:d\r\n\r\n"
ANSWER = b"HTTP/1.1 404 Not  Found\r\nServer: x\r\nX-Name: \xe9\r\n\r\n"


def reader(kind=RequestReader, max_bytes=16384, max_headers=128):
    return kind(max_bytes, max_headers)


def feed(found, data, size):
    """Feed pieces until there is a head: the rest would belong to the next layer."""
    for at in range(0, len(data), size):
        head = found.receive(data[at : at + size])
        if head is not None:
            return head, data[at + size :]
    return None, b""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10000])
def test_a_head_is_found_wherever_it_is_cut(size):
    found = reader()
    head, rest = feed(found, HEAD + b"\x81\x00tail", size)
    assert head == HEAD
    assert found.trailing + rest == b"\x81\x00tail"


def test_what_llhttp_reads():
    method, target, version, headers = reader().parse(HEAD)
    assert (method, target, version) == ("GET", "/a", "1.1")
    assert headers == [("host", "a"), ("x", "b"), ("empty", ""), ("empty2", ""), ("x", "c:d")]
    assert reader(ResponseReader).parse(ANSWER) == (
        404,
        "Not  Found",
        "1.1",
        [("server", "x"), ("x-name", "\xe9")],
    )


def test_names_in_every_spelling_are_lower_case():
    spellings = [
        b"sec-websocket-key",
        b"Sec-WebSocket-Key",
        b"Sec-Websocket-Key",
        b"SEC-websocket-KEY",
    ]
    lines = b"".join(name + b": v\r\n" for name in spellings)
    headers = reader().parse(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")[3]
    assert headers == [("sec-websocket-key", "v")] * 4


def sized(size):
    """A head of exactly this many bytes."""
    start = b"GET / HTTP/1.1\r\nX: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(("over", "status"), [(-1, 0), (0, 0), (1, 431), (2, 431), (500, 431)])
def test_the_limit_of_the_head(over, status, step):
    head = sized(300 + over)
    if status:
        with pytest.raises(BadHead) as raised:
            feed(reader(max_bytes=300), head, step)
        assert raised.value.status == status
        assert "the limit is 300" in raised.value.reason
    else:
        assert feed(reader(max_bytes=300), head + b"x" * 500, step)[0] == head


def test_a_head_without_end_is_refused_at_the_limit():
    found = reader(max_bytes=300)
    data = sized(10000)
    for at in range(300):
        assert found.receive(data[at : at + 1]) is None
    with pytest.raises(BadHead, match="301 bytes long"):
        found.receive(data[300:301])


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10**6])
@pytest.mark.parametrize("start", [b"", b"\r\n"])
def test_the_limit_of_header_lines(step, start):
    def head(lines):
        return start + b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * lines + b"\r\n"

    assert feed(reader(), head(128), step)[0] == head(128).removeprefix(b"\r\n")
    with pytest.raises(BadHead, match="the limit is 128") as raised:
        feed(reader(), head(129), step)
    assert raised.value.status == 431


def test_two_thousand_headers_are_refused_before_they_end():
    found = reader()
    with pytest.raises(BadHead, match="header lines"):
        feed(found, b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 2000, 1)


def dribbled(size):
    """Seconds that a head of this size costs, a byte at a time."""
    data = sized(size)
    pieces = [data[at : at + 1] for at in range(len(data))]
    found = reader(max_bytes=10**6)
    started = time.thread_time()
    for piece in pieces:
        head = found.receive(piece)
    taken = time.thread_time() - started
    assert head == data
    return taken


def test_a_dribbled_head_costs_as_much_a_byte_whatever_its_length():
    assert_linear(dribbled, 4096)


@pytest.mark.parametrize("kind", [RequestReader, ResponseReader])
@pytest.mark.parametrize("unit", [b"\n", b"\r\nX", b"\r\nX:", b"\r\n ", b": ", b"\r\nX :", b"a"])
def test_the_cost_of_refusing_a_head_grows_with_its_length(kind, unit):
    def seconds(length):
        data = HEAD[:-2] if kind is RequestReader else ANSWER[:-2]
        data += unit * (length // len(unit)) + b"\r\n\r\n"
        started = time.thread_time()
        try:
            reader(kind, 10**6, 10**6).parse(data)
        except BadHead as fault:
            assert len(fault.reason) < 300
        return time.thread_time() - started

    assert_linear(seconds, 16384)


def first_refused(kind, data):
    """How many bytes are taken before the reader gives up."""
    found = reader(kind)
    for at in range(len(data)):
        try:
            found.receive(data[at : at + 1])
        except BadHead as fault:
            assert fault.status == 400
            return at
    return None


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 0),
        (b"\x00", 0),
        (b" GET / HTTP/1.1\r\n", 17),
        (b"GET\t/", 3),
        (b"GET /\x00", 5),
        (b"GET / HTTP/1.1\n", 14),
        (b"GET / FTP/1.1", 8),
        (b"G\xc3", 1),
        (b"\nGET", 0),
        (b"\r\n\r\nGET", 3),
        (b"{'json':", 0),
        (b"A" * 30, 24),
    ],
)
def test_what_is_no_request_is_refused_at_once(data, at):
    found = first_refused(RequestReader, data)
    assert found is not None
    assert found <= at


@pytest.mark.parametrize(
    ("data", "at"), [(b"\x15\x03", 0), (b"HTTP/2 200", 5), (b"SSH-2.0", 0), (b"HTTPS", 4)]
)
def test_what_is_no_response_is_refused_at_once(data, at):
    assert first_refused(ResponseReader, data) == at


def test_an_empty_line_is_ignored_only_before_a_request():
    assert feed(reader(), b"\r\n" + HEAD, 1)[0] == HEAD
    with pytest.raises(BadHead, match="no HTTP/1.1 response"):
        feed(reader(ResponseReader), b"\r\n" + ANSWER, 1)


LENIENCIES = dict.fromkeys(
    [
        "lenient_headers",
        "lenient_chunked_length",
        "lenient_keep_alive",
        "lenient_transfer_encoding",
        "lenient_version",
        "lenient_data_after_close",
        "lenient_optional_lf_after_cr",
        "lenient_optional_cr_before_lf",
        "lenient_optional_crlf_after_chunk",
        "lenient_spaces_after_chunk_size",
    ],
    True,
)


@pytest.mark.parametrize(
    "line",
    [
        b"X: a\nY: b",
        b"X: a\rY: b",
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b"X : a",
        b"X\t: a",
        b" X: a",
        b"X: a\x00",
        b"X: \x01",
        b"X: \x7f",
        b"X: \x0b",
        b": a",
        b"X",
        b"X Y: a",
        b"X(): a",
        b"\xe9: a",
    ],
)
def test_strictness_is_ours_whatever_llhttp_lets_through(line, monkeypatch):
    def lenient(collector):
        parser = strict(collector)
        parser.set_dangerous_leniencies(**LENIENCIES)
        return parser

    strict = httptools.HttpRequestParser
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n"
    with pytest.raises(BadHead, match="RFC 9") as raised:
        reader().parse(data)
    monkeypatch.setattr(headreader.httptools, "HttpRequestParser", lenient)
    with pytest.raises(BadHead, match=re.escape(raised.value.reason)):
        reader().parse(data)


def test_llhttp_has_its_say_too():
    with pytest.raises(BadHead, match="llhttp: .*Content-Length") as raised:
        reader().parse(b"GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n")
    assert raised.value.status == 400


def outcome(data, size):
    """Everything that can be seen of a request that comes in pieces of this size."""
    found = reader()
    try:
        head, rest = feed(found, data, size)
        return None if head is None else (found.parse(head), found.trailing + rest)
    except BadHead as fault:
        return fault.status


@given(st.data())
def test_the_outcome_does_not_depend_on_the_cuts(data):
    raw = bytearray(HEAD)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    whole = outcome(bytes(raw), len(raw) + 1)
    for size in (1, 2, 3, 7):
        assert outcome(bytes(raw), size) == whole


def test_a_parser_that_sees_another_end_than_we_do_is_not_trusted(monkeypatch):
    class Silent:
        def __init__(self, collector):
            pass

        def feed_data(self, data):
            pass

    monkeypatch.setattr(headreader.httptools, "HttpRequestParser", Silent)
    with pytest.raises(BadHead, match="no complete head"):
        reader().parse(HEAD)
