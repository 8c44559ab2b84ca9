"""Original and replacement side by side: what counts as the same, and what inputs there are."""

from __future__ import annotations

import enum
from collections import namedtuple
from random import Random
from typing import Any

import pytest

from ids import shown
from wire import frame
from wsfast.speedups.selftest import (
    SIZES,
    TEXTS,
    Mismatch,
    compare,
    frame_bytes,
    outcome,
    pieces,
    sizes,
)
from wsfast.utf8 import is_valid_utf8

Pair = namedtuple("Pair", "left right")


class Number(enum.IntEnum):
    ONE = 1


def returning(value: Any) -> Any:
    return lambda *arguments: value


def raising(error: BaseException) -> Any:
    def call(*arguments: Any) -> None:
        raise error

    return call


# --- the same and not the same ---------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, b"a", bytearray(b"a"), "a", 1, True, Number.ONE, (1, b"a"), [b"a"], {"a": b"a"}],
    ids=shown,
)
def test_equal_values_of_one_type_agree(value: Any) -> None:
    compare("f", returning(value), returning(value), 1)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (b"a", bytearray(b"a")),
        (b"a", memoryview(b"a")),
        (1, True),
        (1, Number.ONE),
        (1, 1.0),
        ((1, 2), [1, 2]),
        ((1, 2), Pair(1, 2)),
        ((b"a", 1), (bytearray(b"a"), 1)),
        ([[b"a"]], [[bytearray(b"a")]]),
        ({"a": b"a"}, {"a": bytearray(b"a")}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (None, b""),
        (b"", ""),
        (b"a", b"b"),
        (memoryview(b"a"), memoryview(b"b")),
    ],
    ids=shown,
)
def test_values_that_are_only_nearly_the_same_do_not(left: Any, right: Any) -> None:
    compare("f", returning(left), returning(left))
    for one, two in ((left, right), (right, left)):
        with pytest.raises(Mismatch):
            compare("f", returning(one), returning(two))


def test_views_agree_by_their_bytes() -> None:
    compare("f", returning(memoryview(b"a")), returning(memoryview(bytearray(b"a"))))


def test_errors_agree_by_type_and_text() -> None:
    compare("f", raising(ValueError("a")), raising(ValueError("a")))
    for error in (ValueError("b"), TypeError("a"), UnicodeError("a")):
        with pytest.raises(Mismatch):
            compare("f", raising(ValueError("a")), raising(error))
    with pytest.raises(Mismatch):
        compare("f", raising(ValueError("a")), returning(None))
    with pytest.raises(Mismatch):
        compare("f", returning(None), raising(ValueError("a")))


def test_what_is_no_error_of_a_call_comes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        compare("f", raising(KeyboardInterrupt()), returning(None))
    assert outcome(raising(ValueError("a"))).kind == "raised"
    assert outcome(returning(3)).value == (int, 3)
    assert outcome(dict, a=1).kind == "returned"


# --- arguments -------------------------------------------------------------------------------


def test_both_get_their_own_bytearray() -> None:
    given = bytearray(b"ab")

    def clear(data: bytearray) -> None:
        assert data == b"ab"
        data.clear()

    compare("f", clear, clear, given)
    assert given == b"ab"


def test_what_is_done_to_an_argument_counts() -> None:
    with pytest.raises(Mismatch):
        compare("f", bytearray.clear, returning(None), bytearray(b"ab"))
    compare("f", bytearray.clear, bytearray.clear, bytearray(b"ab"))


def test_other_arguments_are_handed_on_as_they_are() -> None:
    given = [object(), memoryview(b"a"), b"a"]
    seen: list[Any] = []
    compare("f", lambda *each: seen.extend(each), lambda *each: seen.extend(each), *given)
    assert all(one is two for one, two in zip(seen, given * 2, strict=True))


def test_a_mismatch_names_the_call_and_both_outcomes() -> None:
    with pytest.raises(Mismatch) as raised:
        compare("mask", returning(b"good"), returning(bytearray(b"good")), b"data", 4)
    text = str(raised.value)
    assert text.startswith("mask(b'data', 4): the original ")
    assert "b'good'" in text and "bytearray(b'good')" in text
    assert "<class 'bytes'>" in text and "<class 'bytearray'>" in text


def test_a_mismatch_of_long_arguments_is_still_readable() -> None:
    with pytest.raises(Mismatch) as raised:
        compare("mask", returning(b"a" * 9999), returning(b""), b"x" * 70000)
    assert len(str(raised.value)) < 1000
    assert "characters)" in str(raised.value)


# --- inputs ----------------------------------------------------------------------------------


def test_sizes_have_the_ends_of_every_length_form() -> None:
    for seed in range(20):
        found = sizes(Random(seed), 5)
        assert {0, 1, 125, 126, 4097} <= set(found)
        assert len(found) == 10
        assert set(found) <= set(SIZES)
    assert set(sizes(Random(1), len(SIZES))) == set(SIZES)


def test_texts_are_good_and_bad_ones() -> None:
    verdicts = [is_valid_utf8(each) for each in TEXTS]
    assert verdicts.count(True) >= 5
    assert verdicts.count(False) >= 6


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 500])
def test_pieces_come_to_the_whole(size: int) -> None:
    data = bytes(index & 255 for index in range(size))
    for seed in range(200):
        found = list(pieces(data, Random(seed)))
        assert b"".join(found) == data
        assert all(found)


def test_pieces_are_whole_single_bytes_and_all_between() -> None:
    counts = {len(list(pieces(bytes(500), Random(seed)))) for seed in range(200)}
    assert {1, 500} <= counts
    assert any(2 < each < 20 for each in counts)
    assert any(100 < each < 400 for each in counts)


def test_the_same_seed_makes_the_same_inputs() -> None:
    for make in (lambda random: sizes(random), lambda random: list(pieces(bytes(99), random))):
        assert make(Random("seed")) == make(Random("seed"))


@pytest.mark.parametrize("key", [None, b"\x01\x02\x03\x04"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_frames_are_those_of_the_other_tests(size: int, key: bytes | None) -> None:
    payload = bytes(size % 251 for _ in range(size))
    assert frame_bytes(2, payload, masking_key=key) == frame(2, payload, key=key)


def test_frames_may_have_any_flags_and_lengths() -> None:
    assert frame_bytes(1, b"a", fin=False, rsv=5) == b"\x51\x01a"
    assert frame_bytes(15, b"") == b"\x8f\x00"
    assert frame_bytes(2, b"a", length_form=16) == b"\x82\x7e\x00\x01a"
    assert frame_bytes(2, b"a", length_form=64) == b"\x82\x7f" + bytes(7) + b"\x01a"
    assert frame_bytes(2, b"", length_form=16, masking_key=b"abcd") == b"\x82\xfe\0\0abcd"
