"""websocket-client's masking and UTF-8 validation, beside the library's own."""

from __future__ import annotations

import array
import sys
from random import Random
from typing import Any

import pytest

pytest.importorskip("websocket")

from websocket import ABNF, _utils

from ids import shown
from wsfast.speedups.selftest import SIZES, TEXTS, outcome
from wsfast.speedups.websocket_client_kernels import make_mask, make_validate_utf8

KEY = b"\x12\x34\x56\x78"
THEIRS = vars(ABNF)["mask"]
OURS = make_mask(THEIRS).__func__


class Dfa:
    """The library's table, also where it uses wsaccel in its place."""

    def __init__(self) -> None:
        hidden = {name: None for name in ("wsaccel", "wsaccel.utf8validator")}
        kept = {name: sys.modules.get(name) for name in hidden}
        sys.modules.update(hidden)  # type: ignore[arg-type]
        try:
            self.space: dict[str, Any] = {"__name__": "websocket._utils_without_wsaccel"}
            source = (_utils.__loader__).get_source("websocket._utils")  # type: ignore[union-attr]
            exec(compile(source, "_utils", "exec"), self.space)
        finally:
            for name, module in kept.items():
                sys.modules.pop(name)
                if module is not None:
                    sys.modules[name] = module

    def __call__(self, data: Any) -> Any:
        return self.space["_validate_utf8"](data)


@pytest.fixture(scope="module")
def dfa() -> Dfa:
    return Dfa()


# --- masking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_mask_of_every_size(size: int, level: str) -> None:
    data = Random(size).randbytes(size)
    masked = OURS(KEY, data)
    assert type(masked) is bytes
    assert masked == THEIRS.__func__(KEY, data)
    assert OURS(KEY, masked) == data


@pytest.mark.parametrize(
    "data",
    [
        b"abcdefg",
        bytearray(b"abcdefg"),
        memoryview(b"abcdefg"),
        memoryview(b"abcdefg")[::2],
        memoryview(b"a")[::2],
        memoryview(array.array("H", [1, 2])),
        memoryview(array.array("b", [1, 2])),
        array.array("B", b"abcdefg"),
        array.array("H", [1, 2]),
        [1, 2, 3],
        (1, 2, 3, 4, 5),
        "text",
        "\xff latin-1",
        "\u0161 not latin-1",
        "",
        None,
        3,
        object,
        [256],
    ],
    ids=shown,
)
@pytest.mark.parametrize(
    "key", [KEY, bytearray(KEY), "\x12\x34\x56\xff", "\u0161bcd", [1, 2, 3, 4]]
)
def test_mask_of_whatever_the_library_takes(key: Any, data: Any) -> None:
    assert outcome(OURS, key, data) == outcome(THEIRS.__func__, key, data)


@pytest.mark.parametrize("key", [b"", b"a", b"abc", b"abcde", b"abcdefgh"])
def test_mask_with_keys_of_another_size(key: bytes) -> None:
    for size in range(12):
        assert outcome(OURS, key, b"x" * size) == outcome(THEIRS.__func__, key, b"x" * size)


def test_mask_takes_keywords_and_copies() -> None:
    data = bytearray(b"abcd")
    assert OURS(mask_key=KEY, data=data) == THEIRS.__func__(KEY, data)
    assert data == b"abcd"


def test_mask_stays_a_static_method() -> None:
    made = make_mask(THEIRS)
    assert isinstance(made, staticmethod)
    assert made.__func__.__name__ == "mask"
    assert made.__func__.__wrapped__ is THEIRS.__func__


# --- UTF-8 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS, ids=shown)
def test_validation_of_every_beginning(text: bytes, dfa: Dfa, level: str) -> None:
    ours = make_validate_utf8(dfa)
    for end in range(len(text) + 1):
        for form in (bytes, bytearray):
            result = ours(form(text[:end]))
            assert type(result) is bool
            assert result == dfa(text[:end]), text[:end]


def test_a_text_cut_inside_a_character_is_no_error(dfa: Dfa) -> None:
    """The library does not look at the state that its automaton ends in."""
    ours = make_validate_utf8(dfa)
    for character in ("é", "漢", "\U0001f600"):
        for end in range(1, len(character.encode())):
            assert ours(b"text " + character.encode()[:end]) is True


def test_every_pair_of_bytes(dfa: Dfa) -> None:
    ours = make_validate_utf8(dfa)
    for first in range(0x80, 256):
        for second in (0, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xF5, 0xFF):
            data = bytes([first, second])
            assert ours(data) == dfa(data), data


def test_random_bytes_in_long_texts(dfa: Dfa) -> None:
    ours, random = make_validate_utf8(dfa), Random(5)
    for _ in range(300):
        text = bytearray(b"".join(random.choices(TEXTS[:5], k=6)))
        for _ in range(random.randrange(3)):
            text[random.randrange(len(text))] = random.randrange(256)
        assert ours(bytes(text)) == dfa(text)


@pytest.mark.parametrize("odd", [None, "text", 3, [65, 66], [0xC3, 0x28], memoryview(b"\xc3\x28")])
def test_anything_else_goes_to_the_library(odd: Any, dfa: Dfa) -> None:
    assert outcome(make_validate_utf8(dfa), odd) == outcome(dfa, odd)


def test_the_same_beside_wsaccel() -> None:
    pytest.importorskip("wsaccel")
    ours = make_validate_utf8(_utils._validate_utf8)
    for text in TEXTS:
        assert ours(text) == _utils._validate_utf8(text)
