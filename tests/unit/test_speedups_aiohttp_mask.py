"""aiohttp's websocket_mask: in place, and in everything else as the pure-Python one."""

from __future__ import annotations

import inspect
from random import Random
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from aiohttp._websocket import helpers

from wsfast.speedups.aiohttp_mask import make_websocket_mask
from wsfast.speedups.selftest import SIZES, outcome, typed

original = helpers._websocket_mask_python
ours = make_websocket_mask(original)


@pytest.mark.parametrize("size", [*SIZES, 65535, 65536, 300_000])
def test_it_masks_in_place_and_returns_nothing(size: int) -> None:
    random = Random(size)
    mask, data = random.randbytes(4), random.randbytes(size)
    theirs, mine = bytearray(data), bytearray(data)
    original(mask, theirs)
    assert ours(mask, mine) is None
    assert mine == theirs
    ours(mask, mine)
    assert mine == data


def test_data_that_is_looked_at_is_masked_under_the_view() -> None:
    data = bytearray(b"looked at")
    with memoryview(data) as view:
        ours(b"\x01\x02\x03\x04", data)
        assert view.tobytes() == bytes(data) != b"looked at"
        ours(b"\x01\x02\x03\x04", data)
    data += b" and resized afterwards"
    assert data == b"looked at and resized afterwards"


def test_a_subclass_of_bytearray_is_left_to_the_original() -> None:
    class Watched(bytearray):
        writes = 0

        def __setitem__(self, place: Any, value: Any) -> None:
            self.writes += 1
            super().__setitem__(place, value)

    data = Watched(b"watched!")
    ours(b"\x01\x02\x03\x04", data)
    assert data.writes == 4


@pytest.mark.parametrize(
    "mask, data",
    [
        (b"abc", bytearray(b"data")),
        (b"abcde", bytearray(b"data")),
        (b"abc", bytearray()),
        (bytearray(b"abcd"), bytearray(b"data")),
        (memoryview(b"abcd"), bytearray(b"data")),
        ([1, 2, 3, 4], bytearray(b"data")),
        ("abcd", bytearray(b"data")),
        (None, bytearray(b"data")),
        (b"abcd", b"data"),
        (b"abcd", memoryview(b"data")),
        (b"abcd", "data"),
        (b"abcd", None),
    ],
)
def test_anything_else_does_what_the_original_does(mask: Any, data: Any) -> None:
    theirs, mine = (bytearray(data) if type(data) is bytearray else data for _ in range(2))
    assert outcome(ours, mask, mine) == outcome(original, mask, theirs)
    assert typed(mine) == typed(theirs)


def test_parameters_have_their_names() -> None:
    data = bytearray(b"data")
    ours(data=data, mask=b"\x00\x00\x00\x01")
    assert data == b"dat`"
    with pytest.raises(TypeError):
        ours(b"abcd")
    assert list(inspect.signature(ours).parameters) == ["mask", "data"]


def test_it_looks_like_the_original() -> None:
    assert ours.__name__ == original.__name__
    assert ours.__module__ == original.__module__
    assert ours.__doc__ == original.__doc__
    assert ours.__wrapped__ is original
    assert ours.__wsfast__ is original
