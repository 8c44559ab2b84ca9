"""wsfast.loadgen.hdrblob: round trips, and histograms that the hdrhistogram package filled."""

from __future__ import annotations

import base64
import ctypes
import struct
import zlib

import pytest

pytest.importorskip("numpy")
pytest.importorskip("hypothesis")
hdrh = pytest.importorskip("hdrh.histogram")
hdrblob = pytest.importorskip("wsfast.loadgen.hdrblob")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from wsfast.loadgen.histogram import DIGITS, HIGHEST, SLOTS, Histogram, slot_bounds  # noqa: E402

#: The cookies of the V2 encoding, without and with compression.
PLAIN, PACKED = 0x1C849313, 0x1C849314
VALUES = [0, 1, 1, 2047, 2048, 90_000, 90_000, 1_000_000_000, HIGHEST]


def histogram_of(values):
    histogram = Histogram()
    histogram.record_all(values)
    return histogram


@settings(max_examples=40)
@given(st.lists(st.integers(0, HIGHEST * 2), max_size=80))
def test_nothing_is_lost_on_the_way(values):
    histogram = histogram_of(values)
    assert hdrblob.from_dict(hdrblob.to_dict(histogram)) == histogram


def test_the_slots_are_those_of_the_package():
    theirs = hdrh.HdrHistogram(hdrblob.LOWEST, HIGHEST, DIGITS)
    assert theirs.counts_len == len(theirs.counts) == SLOTS
    assert ctypes.sizeof(theirs.counts) == Histogram().counts.nbytes
    for slot in range(SLOTS):
        first = theirs.get_value_from_index(slot)
        assert (first, theirs.get_highest_equivalent_value(first)) == slot_bounds(slot)
        assert theirs.get_counts_array_index(first) == slot


def test_the_package_reads_ours():
    ours = histogram_of(VALUES)
    theirs = hdrh.HdrHistogram.decode(hdrblob.to_text(ours))
    assert theirs.get_total_count() == len(VALUES)
    assert list(theirs.counts) == ours.counts.tolist()


@pytest.mark.parametrize("values", [[], [0], [2047], VALUES, VALUES * 1000])
def test_the_text_is_what_the_package_writes(values):
    theirs = hdrh.HdrHistogram(hdrblob.LOWEST, HIGHEST, DIGITS)
    for value in values:
        assert theirs.record_value(value)
    text = theirs.encode().decode("ascii")
    assert hdrblob.to_text(histogram_of(values)) == text
    assert (hdrblob.counts_from(text) == histogram_of(values).counts).all()


def test_values_beyond_one_hour_are_in_the_last_slot_that_counts():
    text = hdrblob.to_text(histogram_of([5, HIGHEST * 2, 2**63]))
    assert hdrblob.to_text(histogram_of([5, HIGHEST, HIGHEST])) == text


def test_merged_on_the_way_equals_the_histogram_of_all():
    merged = Histogram()
    for part in (VALUES[:4], [], VALUES[4:], [2**62]):
        merged.merge(hdrblob.from_dict(hdrblob.to_dict(histogram_of(part))))
    assert merged == histogram_of([*VALUES, 2**62])


def packed(plain):
    body = zlib.compress(plain)
    return base64.b64encode(struct.pack(">ii", PACKED, len(body)) + body).decode("ascii")


def header(length=0, digits=DIGITS, lowest=hdrblob.LOWEST, highest=HIGHEST, cookie=PLAIN):
    return struct.pack(">iiiiqqd", cookie, length, 0, digits, lowest, highest, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "too short"),
        ("%%%%", "too short"),
        ("\u00e4\u00e4\u00e4\u00e4", "ASCII"),
        (base64.b64encode(b"\0" * 40).decode(), "starts like no"),
        (base64.b64encode(bytes.fromhex("1c84931400000004") + b"abcd").decode(), "decompressing"),
        (base64.b64encode(bytes.fromhex("1c84931400000005") + b"abcd").decode(), "length=5"),
        (packed(b"short"), "too small"),
        (packed(header(cookie=5)), "cookie"),
        (packed(header(digits=2)), "not one of ours"),
        (packed(header(digits=9)), "significant_figures"),
        (packed(header(lowest=2)), "not one of ours"),
        (packed(header(highest=1000)), "not one of ours"),
        (packed(header(1) + b"\x80"), "varint"),
        (packed(header(SLOTS + 1) + b"\x02" * (SLOTS + 1)), "overrun"),
        (packed(header(9) + b"\xff" * 9), "overflow"),
    ],
)
def test_texts_that_are_no_histogram_of_ours(text, message):
    with pytest.raises(ValueError, match=message):
        hdrblob.counts_from(text)
