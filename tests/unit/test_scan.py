"""All frames of a buffer at once: the array says what a header-by-header walk says."""

from __future__ import annotations

import sys

import pytest

from wire import KEY, PING, TEXT, frame, unmasked
from wsfast.frame import decode_header
from wsfast.scan import FRAME_FIELDS, scan_frames

numpy = pytest.importorskip("numpy", reason="numpy is not installed")

STREAM = (
    frame(TEXT, b"Hello", key=KEY)
    + frame(2, bytes(range(200)), fin=False)
    + frame(PING, b"")
    + frame(0, b"x" * 70_000, key=b"abcd", rsv=5)
)


def walked(data):
    """The rows one by one, by decode_header."""
    rows, offset = [], 0
    while (header := decode_header(data, offset)) is not None:
        start = offset + header.size
        if start + header.payload_length > len(data):
            break
        rsv = header.rsv1 << 2 | header.rsv2 << 1 | header.rsv3
        key = header.masking_key or bytes(4)
        row = (offset, start, header.payload_length, key, header.opcode)
        rows.append((*row, header.fin, rsv, header.masked))
        offset = start + header.payload_length
    return rows


def listed(rows):
    return [(*row.tolist()[:3], bytes(row["masking_key"]), *row.tolist()[4:]) for row in rows]


def test_dtype_is_documented():
    rows = scan_frames(b"")
    assert rows.shape == (0,)
    assert rows.dtype == numpy.dtype(FRAME_FIELDS)
    assert rows.dtype.itemsize == 32


def test_rows_are_the_frames():
    rows = scan_frames(STREAM)
    assert listed(rows) == walked(STREAM)
    assert rows["opcode"].tolist() == [1, 2, 9, 0]
    assert rows["fin"].tolist() == [True, False, True, True]
    assert rows["rsv"].tolist() == [0, 0, 0, 5]
    assert rows["masked"].tolist() == [True, False, False, True]
    start, length = int(rows["payload_offset"][0]), int(rows["payload_length"][0])
    assert unmasked(STREAM[start : start + length], rows["masking_key"][0].tobytes()) == b"Hello"


def test_a_cut_stream_gives_the_whole_frames():
    short = STREAM[:420]
    for size in range(len(short)):
        assert listed(scan_frames(short[:size])) == walked(short[:size])


def test_where_to_go_on():
    rows = scan_frames(STREAM + b"\x81\xfe")
    assert rows["payload_offset"][-1] + rows["payload_length"][-1] == len(STREAM)


def test_a_length_beyond_the_buffer_is_an_incomplete_frame():
    for length in (2**31, 2**32, 2**63 - 1):
        assert len(scan_frames(b"\x81\x00" + frame(2, b"abc", length=length))) == 1


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (frame(2, length=125, form=16), "not minimal"),
        (frame(2, length=65535, form=64), "not minimal"),
        (frame(2, length=2**63), "top bit"),
        (frame(2, length=2**64 - 14), "top bit"),
    ],
)
def test_a_bad_length_is_named_with_its_offset(bad, rule):
    with pytest.raises(ValueError, match=rf"at offset 7 .*{rule}.*5\.2"):
        scan_frames(frame(TEXT, b"Hello") + bad)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda b: numpy.frombuffer(b, "u1")]
)
def test_any_buffer_is_scanned_in_place(kind):
    data = kind(STREAM)
    assert listed(scan_frames(data)) == walked(STREAM)
    assert bytes(data) == STREAM


def test_the_buffer_is_released():
    data = bytearray(STREAM)
    scan_frames(data)
    data.append(0x80)  # BufferError while a view is held
    data[:] = frame(2, length=2**63)
    with pytest.raises(ValueError, match="top bit"):
        scan_frames(data)
    data.clear()


def test_many_frames():
    rows = scan_frames(frame(TEXT, b"abc", key=KEY) * 100_000)
    assert len(rows) == 100_000
    assert (numpy.diff(rows["offset"].astype("i8")) == 9).all()


@pytest.mark.parametrize("data", ["text", 5, None])
def test_what_is_no_buffer_is_refused(data):
    with pytest.raises(TypeError):
        scan_frames(data)


def test_without_numpy_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError, match="scan_frames needs numpy.*pip install numpy"):
        scan_frames(b"")


def test_a_buffer_with_gaps_is_refused():
    with pytest.raises(BufferError):
        scan_frames(memoryview(bytes(20))[::2])
