"""Tornado's _websocket_mask: the extension's, and the byte loop that stands in for it."""

from __future__ import annotations

import inspect
from random import Random
from typing import Any

import pytest

pytest.importorskip("tornado")

from tornado import util

from wsfast.speedups.selftest import SIZES, outcome
from wsfast.speedups.tornado_mask import make_websocket_mask

pure = util._websocket_mask_python

try:
    from tornado.speedups import websocket_mask as compiled
except ImportError:
    compiled = None

ORIGINALS = [each for each in (pure, compiled) if each is not None]
originals = pytest.mark.parametrize("original", ORIGINALS, ids=lambda each: each.__name__)


@originals
@pytest.mark.parametrize("size", [*SIZES, 65535, 65536, 300_000])
def test_it_returns_new_bytes(size: int, original: Any) -> None:
    if original is pure and size > 70000:
        pytest.skip("a byte loop")
    random = Random(size)
    mask, data = random.randbytes(4), random.randbytes(size)
    ours = make_websocket_mask(original)
    masked = ours(mask, data)
    assert type(masked) is bytes
    assert masked == original(mask, data)
    assert ours(mask, masked) == data


@originals
@pytest.mark.parametrize(
    "mask, data",
    [
        (b"abc", b"data"),
        (b"abcde", b"data"),
        (b"", b""),
        (bytearray(b"abcd"), b"data"),
        (memoryview(b"abcd"), b"data"),
        ("abcd", b"data"),
        ([1, 2, 3, 4], b"data"),
        (None, b"data"),
        (b"abcd", bytearray(b"data")),
        (b"abcd", memoryview(b"data")),
        (b"abcd", memoryview(b"dada")[::2]),
        (b"abcd", [1, 2, 3]),
        (b"abcd", "data"),
        (b"abcd", None),
    ],
)
def test_anything_else_does_what_the_original_does(original: Any, mask: Any, data: Any) -> None:
    ours = make_websocket_mask(original)
    assert outcome(ours, mask, data) == outcome(original, mask, data)


@originals
def test_a_subclass_of_bytes_is_left_to_the_original(original: Any) -> None:
    class Named(bytes):
        pass

    ours = make_websocket_mask(original)
    assert outcome(ours, b"abcd", Named(b"data")) == outcome(original, b"abcd", b"data")
    assert outcome(ours, Named(b"abcd"), b"data") == outcome(original, b"abcd", b"data")


@originals
def test_too_few_and_too_many_arguments(original: Any) -> None:
    ours = make_websocket_mask(original)
    for arguments in ((), (b"abcd",), (b"abcd", b"data", b"more")):
        for each in (ours, original):
            with pytest.raises(TypeError):
                each(*arguments)


@originals
def test_it_looks_like_the_original(original: Any) -> None:
    ours = make_websocket_mask(original)
    assert ours.__name__ == original.__name__
    assert ours.__doc__ == original.__doc__
    assert ours.__wrapped__ is original
    assert ours.__wsfast__ is original


def test_only_the_pure_ones_parameters_have_names() -> None:
    ours = make_websocket_mask(pure)
    assert ours(data=b"data", mask=b"\x00\x00\x00\x01") == b"dat`"
    assert list(inspect.signature(ours).parameters) == ["mask", "data"]
    if compiled is not None:
        with pytest.raises(TypeError):
            make_websocket_mask(compiled)(data=b"data", mask=b"abcd")
