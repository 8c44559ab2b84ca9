"""What the self-tests share: it is random, it covers what counts, and it sees what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from wsfast.speedups.hoehrmann import (
    broken_text,
    chunks,
    compare_maskers,
    compare_validators,
    parts_of,
    text_of,
)
from wsfast.speedups.masker import XorMaskerSimple
from wsfast.speedups.selftest import Mismatch
from wsfast.speedups.validator import Utf8Validator

RANDOM = Random(1)


@pytest.mark.parametrize("size", [0, 1, 20, 300])
def test_texts_are_valid_and_at_least_so_long(size: int) -> None:
    texts = {text_of(size, RANDOM) for _ in range(50)}
    assert all(text.decode() is not None and len(text) >= size for text in texts)
    assert size == 0 or max(map(len, texts)) > size


def test_broken_texts_are_sometimes_whole() -> None:
    verdicts = {Utf8Validator().validate(broken_text(RANDOM))[:2] for _ in range(300)}
    assert verdicts == {(True, True), (True, False), (False, False)}


@pytest.mark.parametrize("size", [0, 1, 49, 50, 51, 1000])
def test_parts_are_the_whole(size: int) -> None:
    data = RANDOM.randbytes(size)
    for _ in range(50):
        assert b"".join(parts_of(data, RANDOM)) == data
        assert b"".join(chunks(data, RANDOM)) == data


def test_chunks_are_of_both_types_and_sometimes_empty() -> None:
    seen = [chunk for _ in range(100) for chunk in chunks(b"some text", RANDOM)]
    assert {type(chunk) for chunk in seen} == {bytes, bytearray}
    assert any(not chunk for chunk in seen)


# --- validators --------------------------------------------------------------------------------


class Wrong(Utf8Validator):
    """A validator with something wrong."""

    answers = 0

    def validate(self, ba: Any) -> tuple[bool, bool, int, int]:
        Wrong.answers += 1
        return self.twist(super().validate(ba), ba)

    def twist(self, answer: Any, ba: Any) -> Any:
        return answer


def twisted(twist: Callable[[Any, Any], Any]) -> type:
    return type("Twisted", (Wrong,), {"twist": lambda self, answer, ba: twist(answer, ba)})


TWISTS: dict[str, Callable[[Any, Any], Any]] = {
    "never refuses": lambda answer, ba: (True, *answer[1:]),
    "always complete": lambda answer, ba: (answer[0], True, *answer[2:]),
    "numbers for bools": lambda answer, ba: (int(answer[0]), *answer[1:]),
    "one too many": lambda answer, ba: (*answer[:2], answer[2] + 1, answer[3]),
    "no total": lambda answer, ba: (*answer[:3], answer[2]),
}


@pytest.mark.parametrize("twist", TWISTS.values(), ids=TWISTS)
def test_a_wrong_validator_is_seen(twist: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(Mismatch, match="validate"):
        compare_validators(Utf8Validator, twisted(twist), Random(2))


def test_a_validator_that_forgets_to_reset_is_seen() -> None:
    forgetful = type("Forgetful", (Utf8Validator,), {"reset": lambda self: None})
    with pytest.raises(Mismatch):
        compare_validators(Utf8Validator, forgetful, Random(3))


class Nvx(Utf8Validator):
    """After a reject it goes on as if nothing had happened, and it takes nothing but bytes."""

    failed = False

    def validate(self, ba: Any) -> tuple[bool, bool, int, int]:
        if type(ba) is not bytes:
            raise TypeError("initializer for ctype 'uint8_t *'")
        answer = super().validate(ba)
        if self.failed and ba:
            answer = (True, False, len(ba), answer[3])
        self.failed = self.failed or not answer[0]
        return answer

    def reset(self) -> None:
        self.failed = False
        super().reset()


def test_what_nvx_does_is_seen_unless_it_may() -> None:
    for seed in range(10):
        compare_validators(Nvx, Utf8Validator, Random(seed), after_reject=False, only_bytes=True)
    with pytest.raises(Mismatch):
        compare_validators(Nvx, Utf8Validator, Random(4), only_bytes=True)
    with pytest.raises(TypeError):
        compare_validators(Nvx, Utf8Validator, Random(4), after_reject=False)


def test_answers_that_nobody_reads_may_differ() -> None:
    odd = twisted(TWISTS["one too many"])
    compare_validators(Utf8Validator, odd, Random(5), fields=2)


def test_equal_validators_agree() -> None:
    before = Wrong.answers
    compare_validators(Utf8Validator, Wrong, Random(6), rounds=5)
    assert Wrong.answers > before + 10


# --- maskers -----------------------------------------------------------------------------------


def masker(**members: Any) -> type:
    return type("Masker", (XorMaskerSimple,), members)


MASKERS: dict[str, type] = {
    "bytearrays": masker(
        process=lambda self, data: bytearray(super(type(self), self).process(data))
    ),
    "another phase": masker(process=lambda self, data: type(self)(KEY).process(data)),
    "no pointer": masker(pointer=lambda self: 0),
    "no reset": masker(reset=lambda self: None),
}
KEY = b"four"


@pytest.mark.parametrize("wrong", MASKERS.values(), ids=MASKERS)
def test_a_wrong_masker_is_seen(wrong: type) -> None:
    def create(key: Any, length: Any = None) -> Any:
        return XorMaskerSimple(key)

    with pytest.raises(Mismatch):
        for seed in range(20):
            compare_maskers(create, lambda key, length=None: wrong(key), Random(seed))


def test_other_errors_for_wrong_keys_are_seen() -> None:
    def create(key: Any, length: Any = None) -> Any:
        if len(key) != 4:
            raise AssertionError("Mask must be exactly 4 bytes")
        return XorMaskerSimple(key)

    compare_maskers(create, create, Random(7))
    with pytest.raises(Mismatch, match="key"):
        compare_maskers(create, lambda key, length=None: XorMaskerSimple(key), Random(7))
