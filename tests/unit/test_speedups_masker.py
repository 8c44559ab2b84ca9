"""The maskers: what goes to the kernel, what to the library's own code, and what comes back."""

from __future__ import annotations

import array
import pickle
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from reference import mask
from wsfast.speedups.masker import (
    XorMasker,
    XorMaskerNull,
    XorMaskerSimple,
    createXorMasker,
    make_apply_mask,
    make_create_xor_masker,
    make_mask,
    make_mask_in_place,
    make_mask_payload,
)

KEY = b"\x01\x80\xff\x37"
SIZES = [0, 1, 2, 3, 4, 5, 31, 64, 125, 1000, 300_000]


class Theirs:
    """Stands for a library's own code: remembers that it was asked."""

    def __init__(self, result: Any = b"theirs") -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.result = result

    def function(self) -> Callable[..., Any]:
        def original(*given: Any) -> Any:
            self.asked.append(given)
            return self.result

        return original


def data_of(size: int) -> bytes:
    return Random(size).randbytes(size)


# --- wsaccel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_simple_masks_whole(size: int, kind: Callable[[bytes], Any]) -> None:
    masker = XorMaskerSimple(KEY)
    result = masker.process(kind(data_of(size)))
    assert type(result) is bytes and result == mask(data_of(size), KEY)
    assert masker.pointer() == size


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("make", [XorMaskerSimple, make_create_xor_masker(Theirs().function())])
def test_the_phase_goes_on_over_parts(make: Any, size: int) -> None:
    data, masker, result = data_of(100), make(KEY), b""
    for start in range(0, 100, size):
        result += masker.process(data[start : start + size])
        assert masker.pointer() == min(start + size, 100)
    assert result == mask(data, KEY)
    masker.reset()
    assert masker.pointer() == 0 and masker.process(data) == result


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde", None, bytearray(3)])
def test_simple_wants_a_key_of_four_bytes(key: Any) -> None:
    with pytest.raises(ValueError, match=r"^mask should be 4byte\.$"):
        XorMaskerSimple(key)


@pytest.mark.parametrize("key", ["abcd", [1, 2, 3, 4], 5])
def test_simple_wants_a_key_of_bytes(key: Any) -> None:
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        XorMaskerSimple(key)
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        XorMaskerSimple(KEY).process(key)


@pytest.mark.parametrize(
    ("given", "data"),
    [
        (array.array("B", b"abc"), b"abc"),
        (memoryview(b"a-b-c-")[::2], b"abc"),
        (memoryview(b"abc")[::-1], b"cba"),
        (memoryview(b"")[::2], b""),
        (None, b""),
    ],
)
def test_simple_takes_every_buffer(given: Any, data: bytes) -> None:
    masker = XorMaskerSimple(bytearray(KEY))
    assert masker.process(given) == mask(data, KEY)
    assert masker.pointer() == len(data)


def test_create_takes_the_length_and_does_nothing_with_it() -> None:
    for masker in (createXorMasker(KEY), createXorMasker(KEY, 5), createXorMasker(KEY, len="x")):
        assert type(masker) is XorMaskerSimple
        assert masker.process(b"abc") == mask(b"abc", KEY)


def test_null_counts_and_returns_what_it_gets() -> None:
    masker = XorMaskerNull(mask=KEY)
    for given in (b"abc", "text", [1, 2]):
        assert masker.process(given) is given
    assert masker.pointer() == 9
    with pytest.raises(TypeError, match="has no len"):
        masker.process(5)
    masker.reset()
    assert masker.pointer() == 0


def test_maskers_can_be_subclassed_and_pickled() -> None:
    class Mine(XorMaskerSimple):
        pass

    assert Mine(KEY).process(b"abc") == mask(b"abc", KEY)
    masker = XorMaskerSimple(KEY)
    masker.process(b"a")
    assert pickle.loads(pickle.dumps(masker)).process(b"bc") == mask(b"abc", KEY)[1:]


# --- autobahn ----------------------------------------------------------------------------------


def test_create_xor_masker_is_ours_for_plain_keys() -> None:
    theirs = Theirs()
    create = make_create_xor_masker(theirs.function())
    for length in (None, 0, 5, 1 << 40, -1):
        assert type(create(KEY, length)) is XorMasker
    assert type(create(mask=KEY, length=3)) is XorMasker
    assert not theirs.asked


@pytest.mark.parametrize(
    "given", [(b"abc",), (bytearray(KEY),), ("abcd", 5), (KEY, "5"), (KEY, 1.5), (None, None)]
)
def test_create_xor_masker_asks_theirs_for_the_rest(given: tuple[Any, ...]) -> None:
    theirs = Theirs()
    assert make_create_xor_masker(theirs.function())(*given) == b"theirs"
    assert theirs.asked == [(*given, None)[:2]]


@pytest.mark.parametrize("given", [[1, 2, 3], array.array("B", b"abc"), memoryview(b"a-b-c")[::2]])
def test_what_is_not_plain_is_masked_by_theirs_from_the_same_place(given: Any) -> None:
    keys = []

    class TheirMasker:
        def process(self, data: Any) -> bytes:
            return b"xyz"

    def original(key: bytes, length: int | None = None) -> TheirMasker:
        keys.append(key)
        return TheirMasker()

    masker = make_create_xor_masker(original)(KEY, 10)
    masker.process(b"12345")
    assert masker.process(given) == b"xyz"
    assert keys == [KEY[1:] + KEY[:1]] and masker.pointer() == 8


def test_an_error_of_theirs_moves_nothing() -> None:
    def original(key: bytes, length: int | None = None) -> Any:
        raise RuntimeError("theirs")

    masker = make_create_xor_masker(original)(KEY)
    with pytest.raises(RuntimeError, match="theirs"):
        masker.process("text")
    assert masker.pointer() == 0


# --- gevent-websocket, ws4py -------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_methods_return_bytearrays(size: int, kind: Callable[[bytes], Any]) -> None:
    theirs, data = Theirs(), data_of(size)
    header = SimpleNamespace(mask=KEY, length=size)
    frame = SimpleNamespace(masking_key=bytearray(KEY))
    for result in (
        make_mask_payload(theirs.function())(header, kind(data)),
        make_mask(theirs.function())(frame, kind(data)),
    ):
        assert type(result) is bytearray and result == mask(data, KEY)
    assert not theirs.asked


def test_ws4py_takes_the_first_four_bytes_of_a_longer_key() -> None:
    frame = SimpleNamespace(masking_key=KEY + b"more")
    assert make_mask(Theirs().function())(frame, b"abcdefgh") == mask(b"abcdefgh", KEY)


@pytest.mark.parametrize(
    ("key", "length", "payload"),
    [
        ("", 3, b"abc"),
        (b"abc", 3, b"abc"),
        (KEY, 2, b"abc"),
        (KEY, 4, b"abc"),
        (KEY, 3, memoryview(b"abc")),
        (KEY, 3, [1, 2, 3]),
        (None, 3, b"abc"),
    ],
)
def test_gevent_websocket_asks_theirs_for_the_rest(key: Any, length: int, payload: Any) -> None:
    theirs = Theirs()
    header = SimpleNamespace(mask=key, length=length)
    assert make_mask_payload(theirs.function())(header, payload) == b"theirs"
    assert theirs.asked == [(header, payload)]


@pytest.mark.parametrize(
    ("key", "data"), [(b"abc", b"abc"), ("abcd", b"abc"), (None, b""), (KEY, [1]), (KEY, "text")]
)
def test_ws4py_asks_theirs_for_the_rest(key: Any, data: Any) -> None:
    theirs, frame = Theirs(), SimpleNamespace(masking_key=key)
    assert make_mask(theirs.function())(frame, data) == b"theirs"
    assert theirs.asked == [(frame, data)]


# --- lomond ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_in_place_changes_what_it_gets(size: int) -> None:
    theirs, data = Theirs(), bytearray(data_of(size))
    assert make_mask_in_place(theirs.function())(KEY, data) is None
    assert data == mask(data_of(size), KEY) and not theirs.asked


@pytest.mark.parametrize(
    ("key", "data"), [(KEY, b"abc"), (b"abc", bytearray(3)), (KEY + b"e", bytearray(3)), (5, None)]
)
def test_in_place_asks_theirs_for_the_rest(key: Any, data: Any) -> None:
    theirs = Theirs()
    make_mask_in_place(theirs.function())(key, data)
    assert theirs.asked == [(key, data)]


# --- eventlet ----------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 1001, -1, 10**30])
@pytest.mark.parametrize("kind", [list, tuple])
def test_apply_mask_starts_anywhere_in_the_key(kind: Callable[[bytes], Any], offset: int) -> None:
    apply = make_apply_mask(staticmethod(Theirs().function())).__func__
    rotated = KEY[offset % 4 :] + KEY[: offset % 4]
    for size in (0, 1, 5, 1000):
        data = data_of(size)
        for given in (data, bytearray(data)):
            result = apply(given, kind(KEY), length=size, offset=offset)
            assert type(result) is bytes and result == mask(data, rotated)
    assert apply(b"abc", kind(KEY)) == mask(b"abc", KEY)


@pytest.mark.parametrize(
    "given",
    [
        (b"abc", [1, 2, 3], None, 0),
        (b"abc", [1, 2, 3, 4, 5], None, 0),
        (b"abc", [1, 2, 3, 256], None, 0),
        (b"abc", [1, 2, 3, True], None, 0),
        (b"abc", KEY, None, 0),
        (b"abc", list(KEY), 2, 0),
        (b"abc", list(KEY), None, 1.5),
        (memoryview(b"abc"), list(KEY), None, 0),
        ("abc", None, None, None),
    ],
)
def test_apply_mask_asks_theirs_for_the_rest(given: tuple[Any, ...]) -> None:
    theirs = Theirs()
    assert make_apply_mask(staticmethod(theirs.function())).__func__(*given) == b"theirs"
    assert theirs.asked == [given]


# --- all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [make_create_xor_masker, make_mask_payload, make_mask, make_mask_in_place]
)
def test_replacements_say_what_they_stand_for(make: Callable[[Any], Any]) -> None:
    def original(first: object, second: object) -> None:
        """Theirs."""

    ours = make(original)
    assert (ours.__name__, ours.__doc__) == ("original", "Theirs.")
    assert ours.__wrapped__ is original and ours.__wsfast__ is original


def test_a_static_method_stays_one() -> None:
    original = staticmethod(lambda data, mask, length=None, offset=0: b"")
    ours = make_apply_mask(original)
    assert type(ours) is staticmethod and ours.__func__.__wrapped__ is original.__func__
