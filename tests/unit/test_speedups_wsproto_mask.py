"""XorMaskerSimple.process of wsproto, replaced: the key moves on, types are the library's."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("wsproto")

from wsproto.frame_protocol import XorMaskerSimple

from wsfast import speedups
from wsfast.speedups.selftest import SIZES, outcome, typed
from wsfast.speedups.wsproto_mask import make_process

KEY = b"\x00\x7f\x80\xff"
ORIGINAL = XorMaskerSimple.process
LOOSE = isinstance(ORIGINAL(XorMaskerSimple(KEY), bytearray(b"?")), bytes)
OURS = make_process(ORIGINAL, LOOSE)


@pytest.fixture
def installed() -> Iterator[None]:
    with speedups.installed("wsproto", level="kernels", strict=True):
        yield


def masked(process: Any, key: Any, *chunks: Any) -> Any:
    masker = XorMaskerSimple(key)
    done = [outcome(process, masker, chunk) for chunk in chunks]
    return done, typed(masker._masking_key)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("key_kind", [bytes, bytearray])
def test_every_size_is_masked_as_by_the_original(kind: Any, key_kind: Any) -> None:
    for size in (*SIZES, 65535, 65536, 70001):
        data = kind(bytes(range(256)) * (size // 256) + bytes(range(size % 256)))
        assert masked(OURS, key_kind(KEY), data) == masked(ORIGINAL, key_kind(KEY), data)


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 64])
def test_the_key_goes_on_where_it_stopped(cut: int) -> None:
    data = bytes(range(256)) * 2
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    assert masked(OURS, KEY, *pieces) == masked(ORIGINAL, KEY, *pieces)
    whole = b"".join(bytes(each.value[1]) for each in masked(OURS, KEY, *pieces)[0])
    assert whole == ORIGINAL(XorMaskerSimple(KEY), bytearray(data))


@pytest.mark.parametrize("data", [b"", bytearray(), memoryview(b"")])
def test_nothing_is_nothing_of_the_right_type(data: Any) -> None:
    assert masked(OURS, KEY, data, b"then") == masked(ORIGINAL, KEY, data, b"then")


@pytest.mark.parametrize(
    "data", ["text", 7, None, [1, 2, 3], (200,), memoryview(b"every other byte")[::2], range(9)]
)
def test_other_types_are_the_originals(data: Any) -> None:
    assert masked(OURS, KEY, data) == masked(ORIGINAL, KEY, data)


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde", bytearray(b"abc"), None, (1, 2, 3, 4)])
def test_other_keys_are_the_originals(key: Any) -> None:
    for data in (b"", b"payload"):
        assert masked(OURS, key, data) == masked(ORIGINAL, key, data)


def test_the_data_stays_as_it_is() -> None:
    data = bytearray(b"payload")
    result: Any = OURS(XorMaskerSimple(KEY), data)
    assert data == b"payload" and result is not data


def test_a_bytearray_is_not_shared_with_the_key() -> None:
    key = bytearray(KEY)
    masker = XorMaskerSimple(key)
    OURS(masker, b"four")
    key[:] = b"    "
    assert masker._masking_key == KEY


def test_subclasses_and_pickles_work(installed: None) -> None:
    class Noting(XorMaskerSimple):
        seen = 0

        def process(self, data: bytearray) -> Any:
            self.seen += len(data)
            return super().process(data)

    masker = Noting(KEY)
    assert bytes(masker.process(bytearray(b"\x00" * 6))) == KEY + KEY[:2]
    assert masker.seen == 6
    plain = XorMaskerSimple(KEY)
    plain.process(bytearray(b"x"))
    again = pickle.loads(pickle.dumps(plain))
    assert bytes(again.process(bytearray(3))) == KEY[1:]


def test_it_is_what_the_library_calls(installed: None) -> None:
    assert XorMaskerSimple.process is not ORIGINAL
    (report,) = speedups.status("wsproto")
    assert report.slots == ("wsproto.frame_protocol:XorMaskerSimple.process",)
    assert bytes(XorMaskerSimple(KEY).process(data=bytearray(4))) == KEY  # by keyword
