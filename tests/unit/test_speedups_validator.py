"""Hoehrmann's validator: the four answers for every way to cut and to break a text."""

from __future__ import annotations

import array
import pickle
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import pytest

from reference import utf8_error_offset
from wsfast.speedups.validator import UTF8_ACCEPT, UTF8_REJECT, Utf8Validator

Answer = tuple[bool, bool, int, int]

#: One text for each length of a sequence, and for each byte that can be wrong in one.
TEXTS = [
    b"",
    b"plain",
    "ž€漢\U0001f600".encode(),
    b"\xed\x9f\xbf\xee\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    *(b"ok " + bad for bad in (b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2\x41")),
    *(b"ok " + bad for bad in (b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xe1\x80\xc0", b"\xe1\x80A")),
    *(b"ok " + bad for bad in (b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5", b"\xff")),
    *(b"cut " + cut for cut in (b"\xc3", b"\xe6", b"\xe6\xbc", b"\xf0", b"\xf0\x9f\x98")),
    b"a" * 200 + "€".encode() * 50 + b"\xff" + b"b" * 50,
]

#: How Hoehrmann's automaton numbers the states: by what may follow.
STATES = {
    b"": 0,
    b"\xff": 1,
    b"\xc2": 2,
    b"\xe1\x80": 2,
    b"\xf1\x80\x80": 2,
    b"\xe1": 3,
    b"\xf1\x80": 3,
    b"\xe0": 4,
    b"\xed": 5,
    b"\xf0": 6,
    b"\xf1": 7,
    b"\xf4": 8,
}


class Reference:
    """The contract, told by a decoder that looks at the whole text again for every chunk."""

    def __init__(self) -> None:
        self.text = b""
        self.failed = False
        self.total = 0

    def validate(self, chunk: bytes) -> Answer:
        if self.failed:
            return (not chunk, False, 0, self.total)
        start = self.total
        self.text += chunk
        self.total = utf8_error_offset(self.text)
        self.failed = self.total < len(self.text)
        if self.failed:
            return (False, False, self.total - start, self.total)
        return (True, complete(self.text), len(chunk), self.total)


def complete(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def cut(text: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, max(len(text), 1), size):
        yield text[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("text", TEXTS)
def test_answers_whole_and_cut(text: bytes, size: int) -> None:
    expected, ours = Reference(), Utf8Validator()
    for chunk in [*cut(text, size), b"", b"more", b""]:
        answer = ours.validate(chunk)
        assert answer == expected.validate(chunk)
        assert list(map(type, answer)) == [bool, bool, int, int]


def test_answers_of_every_sequence_of_three_telling_bytes() -> None:
    bytes_that_tell = b"A\x7f\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xe0\xe1\xed\xf0\xf1\xf4\xf5"
    for letters in product(bytes_that_tell, repeat=3):
        expected, ours = Reference(), Utf8Validator()
        for chunk in (bytes(letters[:1]), bytes(letters[1:])):
            assert ours.validate(chunk) == expected.validate(chunk), letters


def test_random_texts_in_random_chunks() -> None:
    random = Random(20)
    for _ in range(300):
        text = b"".join(random.choices(TEXTS, k=3))
        expected, ours = Reference(), Utf8Validator()
        while text:
            size = random.randint(0, len(text))
            assert ours.validate(text[:size]) == expected.validate(text[:size])
            text = text[size:] if size else text[1:]


def test_large_chunks_without_the_gil() -> None:
    """From 256 KiB on the kernel runs without it."""
    ours = Utf8Validator()
    text = "漢字".encode() * 100_000
    assert ours.validate(text[:-1]) == (True, False, len(text) - 1, len(text) - 1)
    assert ours.validate(bytearray(text[-1:] + text)) == (True, True, len(text) + 1, 2 * len(text))
    assert ours.validate(text + b"\xff" + text)[:3] == (False, False, len(text))


@pytest.mark.parametrize(("text", "state"), STATES.items())
def test_states_are_numbered_as_hoehrmann_numbers_them(text: bytes, state: int) -> None:
    ours = Utf8Validator()
    ours.validate(text)
    assert ours.state == state
    ours.validate(b"")
    assert ours.state == state


@pytest.mark.parametrize(("text", "state"), STATES.items())
def test_a_state_that_is_set_is_continued_from(text: bytes, state: int) -> None:
    """As after the bytes that lead to it; what they were is not needed."""
    for tail in (b"\x80", b"\x8f", b"\x90", b"\xa0", b"\xbf", b"A", b"\xa0\x80", b"\x90\x80\x80"):
        after, ours = Utf8Validator(), Utf8Validator()
        after.validate(text)
        ours.state = state
        assert ours.validate(tail)[:3] == after.validate(tail)[:3]
        assert ours.state == after.state


@pytest.mark.parametrize("state", [-1, 9, 1000])
def test_a_state_that_is_none_refuses_everything(state: int) -> None:
    ours = Utf8Validator()
    ours.state = state
    assert ours.validate(b"A") == (False, False, 0, 0)


def test_decode_puts_code_points_together() -> None:
    ours = Utf8Validator()
    for letter in "až€漢\U0001f600\U0010ffff":
        states = [ours.decode(byte) for byte in letter.encode()]
        assert states[-1] == UTF8_ACCEPT and ours.codepoint == ord(letter)
        assert UTF8_ACCEPT not in states[:-1] and UTF8_REJECT not in states
    assert ours.i == 0, "only validate counts"


def test_decode_and_validate_continue_each_other() -> None:
    ours = Utf8Validator()
    assert ours.decode(0xE6) == 3
    assert ours.validate(b"\xbc") == (True, False, 1, 1)
    assert ours.decode(0xA2) == UTF8_ACCEPT
    assert ours.decode(0xFF) == UTF8_REJECT
    assert ours.decode(0x41) == UTF8_REJECT
    assert ours.validate(b"A") == (False, False, 0, 1)


@pytest.mark.parametrize("byte", [256, -1, 10**20])
def test_decode_takes_bytes(byte: int) -> None:
    with pytest.raises(OverflowError):
        Utf8Validator().decode(byte)


def test_reset_starts_with_a_new_text() -> None:
    ours = Utf8Validator()
    ours.validate(b"text\xff")
    ours.decode(0x41)
    ours.reset()
    assert (ours.state, ours.i, ours.codepoint) == (0, 0, 0)
    assert ours.validate(b"text") == (True, True, 4, 4)


@pytest.mark.parametrize(
    "chunk",
    [
        bytearray(b"a\xc5"),
        memoryview(b"a\xc5"),
        memoryview(b"a-\xc5-")[::2],
        array.array("B", b"a\xc5"),
        [0x61, 0xC5],
        (0x61, 0xC5),
    ],
)
def test_takes_whatever_has_bytes(chunk: Any) -> None:
    assert Utf8Validator().validate(chunk) == (True, False, 2, 2)


@pytest.mark.parametrize("chunk", ["text", None, 5, 1.5, object()])
def test_refuses_what_has_none(chunk: Any) -> None:
    ours = Utf8Validator()
    with pytest.raises(TypeError):
        ours.validate(chunk)
    assert ours.validate(b"text") == (True, True, 4, 4)


@pytest.mark.parametrize("chunk", [[256], [-1]])
def test_refuses_numbers_that_are_no_bytes(chunk: list[int]) -> None:
    with pytest.raises(ValueError, match="bytes must be in range"):
        Utf8Validator().validate(chunk)


def test_is_a_class_like_theirs() -> None:
    assert (Utf8Validator.UTF8_ACCEPT, Utf8Validator.UTF8_REJECT) == (UTF8_ACCEPT, UTF8_REJECT)
    with pytest.raises(TypeError):
        Utf8Validator(1)  # type: ignore[call-arg]

    class Counting(Utf8Validator):
        calls = 0

        def validate(self, ba: Any) -> Answer:
            self.calls += 1
            return super().validate(ba)

    counting = Counting()
    assert counting.validate(b"x") == (True, True, 1, 1) and counting.calls == 1


def test_can_be_pickled_in_the_middle_of_a_text() -> None:
    ours = Utf8Validator()
    ours.validate(b"a\xe6\xbc")
    again = pickle.loads(pickle.dumps(ours))
    assert again.validate(b"\xa2") == (True, True, 1, 4)


def test_agrees_with_wsaccel() -> None:
    theirs = pytest.importorskip("wsaccel.utf8validator").Utf8Validator
    random = Random(21)
    for _ in range(200):
        one, other = theirs(), Utf8Validator()
        for _ in range(4):
            chunk = random.choice(TEXTS)[: random.randint(0, 20)]
            assert one.validate(chunk) == other.validate(chunk)
            byte = random.randrange(256)
            assert one.decode(byte) == other.decode(byte)
            seen = [(each.state, each.i, each.codepoint) for each in (one, other)]
            assert seen[0] == seen[1]
