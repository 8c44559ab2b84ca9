"""wsfast.loadgen.reply: the message that a reply answers, by every rule."""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

reply = pytest.importorskip("wsfast.loadgen.reply")
from wsfast.loadgen.payload import Payload  # noqa: E402

Reply = reply.Reply
numbers = st.integers(0, 2**32 - 1)


def test_in_order_anything_answers_the_oldest():
    assert Reply("order").sequence_of(b"", 3, 17) == 17
    assert Reply("order").sequence_of(b"anything", 3, 17) == 17


@pytest.mark.parametrize(
    ("payload", "found"),
    [(b"ok", 17), (b"ok then", 17), (b"o", None), (b"", None), (b"not ok", None), (b"OK", None)],
)
def test_what_begins_with_the_prefix(payload, found):
    assert Reply("prefix:ok").sequence_of(payload, 3, 17) == found


def test_a_prefix_may_hold_colons_and_any_character():
    assert Reply("prefix:a:ü").sequence_of("a:ü!".encode(), 0, 1) == 1


@given(numbers, numbers, numbers)
def test_a_binary_stamp(sequence, number, oldest):
    message = Payload(bytes(20)).message_bytes(sequence, number)
    found = Reply("sequence")
    assert found.sequence_of(message, number, oldest) == sequence
    assert found.sequence_of(message[:8], number, oldest) == sequence
    assert found.sequence_of(message[:7], number, oldest) is None
    assert found.sequence_of(message, number ^ 1, oldest) is None


@given(numbers, st.integers(0, 2**24 - 1), st.integers(-(2**23) + 1, 2**23 - 1))
def test_a_text_stamp_is_next_to_what_is_expected(sequence, number, ahead):
    message = Payload(b"x" * 20, text=True).message_bytes((sequence + ahead) % 2**32, number)
    found = Reply("sequence", text=True)
    assert found.sequence_of(message, number, sequence) == (sequence + ahead) % 2**32
    assert found.sequence_of(message, number ^ 1, sequence) is None
    assert found.sequence_of(b" " + message[1:], number, sequence) is None


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"id":5}', 5),
        (b'{"id":"5"}', 5),
        (b'{"id":4294967295}', 2**32 - 1),
        (b'{"id":4294967296}', None),
        (b'{"push":1}', None),
        (b"no JSON", None),
    ],
)
def test_a_path(payload, found):
    assert Reply("json:id").sequence_of(payload, 0, 17) == found


@pytest.mark.parametrize(
    "match", ["", "echo", "order:x", "sequence:1", "prefix", "prefix:", "json:"]
)
def test_what_is_no_way_to_match(match):
    with pytest.raises(ValueError, match="none of order, sequence, prefix:TEXT and json:PATH"):
        Reply(match)


def test_what_is_no_path():
    with pytest.raises(ValueError, match="no path like"):
        Reply("json:a..b")


def test_the_ways_have_names():
    assert set(reply.WAYS) == {"order", "prefix", "sequence", "json"}
