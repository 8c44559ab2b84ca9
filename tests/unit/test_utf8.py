"""wsfast.utf8: every kernel against the reference and CPython, whole and cut anywhere."""

from __future__ import annotations

import array
import ctypes
import itertools
import random
import sys

import pytest

import kernels
import reference
from guarded import Guarded
from utf8_feeding import expected, in_parts, whole
from wsfast import cpu, utf8

LEVELS = cpu.cpu_levels()

#: One sequence of every class, at both ends of its range.
VALID = [
    *("00", "7f", "c280", "dfbf", "e0a080", "e0bfbf", "e18080", "ecbfbf", "ed8080", "ed9fbf"),
    *("ee8080", "efbfbf", "f0908080", "f0bfbfbf", "f1808080", "f3bfbfbf", "f4808080", "f48fbfbf"),
]

#: What cannot be continued, and the offset of the byte at which that is certain.
BROKEN = {
    "80": 0,  # a continuation byte without a lead
    "bf": 0,
    "c0": 0,  # overlong, whatever follows
    "c1bf": 0,
    "c2": 1,  # followed by ASCII below
    "c2c2": 1,
    "e080": 1,  # overlong
    "e09fbf": 1,
    "eda0": 1,  # a surrogate
    "edbfbf": 1,
    "e1": 1,
    "e180": 2,
    "e1c2": 1,
    "e180c2": 2,
    "f080": 1,  # overlong
    "f08fbfbf": 1,
    "f490": 1,  # above U+10FFFF
    "f4bfbfbf": 1,
    "f1": 1,
    "f180": 2,
    "f18080": 3,
    "f180c0": 2,
    "f18080f1": 3,
    "f5": 0,  # above U+10FFFF, whatever follows
    "f8888080": 0,
    "fe": 0,
    "ff": 0,
    "c28080": 2,  # one continuation byte too many
    "e1808080": 3,
    "f180808080": 4,
}

MIXED = "aé漢😀 €\u07ff\ud7ff\U0010ffff" * 40
PLACES = (0, 1, 13, 15, 16, 31, 32, 33, 60, 63, 64, 65, 127, 128, 200, 255, 256, 287, 300, 513)


# --- the rules -------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", VALID)
def test_ends_of_every_range(level, sequence):
    data = bytes.fromhex(sequence)
    for before, after in itertools.product(PLACES, (0, 1, 70, 400)):
        text = b"x" * before + data + b"y" * after
        assert utf8.is_valid_utf8(text)
        assert whole(text) == (len(text), True)


@pytest.mark.parametrize("sequence", BROKEN)
def test_first_byte_that_cannot_continue(level, sequence):
    """Wherever it stands in a block, among ASCII and among other sequences."""
    data, offset = bytes.fromhex(sequence), BROKEN[sequence]
    assert reference.utf8_error_offset(data + b"z") == offset
    for before, after in itertools.product(PLACES, (1, 70, 400)):
        for fill in ("x" * before, "é" * (before // 2) + "x" * (before % 2)):
            text = fill.encode() + data + b"z" * after
            assert whole(text) == (before + offset, False), (before, after)
            assert not utf8.is_valid_utf8(text)


@pytest.mark.parametrize("sequence", VALID)
def test_an_unfinished_sequence_is_no_error_yet(level, sequence):
    data = bytes.fromhex(sequence)
    for size, before in itertools.product(range(1, len(data)), PLACES):
        text = b"x" * before + data[:size]
        assert whole(text) == (len(text), False)
        assert not utf8.is_valid_utf8(text)


def test_every_two_bytes(level):
    """All 65,536, in the first vector and in one further on."""
    for first, second in itertools.product(range(256), repeat=2):
        data = bytes((first, second))
        offset = reference.utf8_error_offset(data)
        assert whole(data)[0] == offset
        if first >= 0x80:
            assert whole(b"x" * 66 + data + b"\x80" * 2)[0] == 66 + reference.utf8_error_offset(
                data + b"\x80\x80"
            )


def test_every_class_of_four_bytes(level):
    """Bytes at the edges of what table 3-7 tells apart, in all orders, across two vectors."""
    edges = bytes.fromhex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ed ef f0 f1 f4 f5 ff")
    for four in itertools.product(edges, repeat=4):
        data = bytes(four)
        offset = reference.utf8_error_offset(data)
        if offset == 4:
            assert utf8.is_valid_utf8(b"x" * 62 + data) == reference.is_complete_utf8(data)
        assert whole(b"x" * 62 + data)[0] == 62 + offset


def test_agrees_with_cpython_on_every_code_point(level):
    for start in range(0, 0x110000, 0x4000):
        points = [point for point in range(start, start + 0x4000) if not 0xD800 <= point < 0xE000]
        assert utf8.is_valid_utf8("".join(map(chr, points)).encode())
    for point in range(0xD800, 0xE000):
        assert not utf8.is_valid_utf8(chr(point).encode("utf-8", "surrogatepass"))


# --- whole and in parts ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 63, 64, 65, 100, 300])
def test_parts_of_one_size(level, size):
    data = MIXED.encode()
    assert in_parts(data, [size]) == whole(data) == (len(data), True)
    for broken in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[broken] = 0xFF
        assert in_parts(damaged, [size]) == whole(damaged) == (broken, False)


@pytest.mark.parametrize("sequence", [*VALID, *BROKEN])
def test_every_cut(level, sequence):
    """Two cuts at all places around the sequence, parts long enough for the vector kernels."""
    data = b"x" * 70 + bytes.fromhex(sequence) + b"y" * 70
    for first, second in itertools.combinations_with_replacement(range(66, 80), 2):
        validator = utf8.Utf8Validator()
        for part in (data[:first], data[first:second], data[second:]):
            validator.feed(part)
        assert (validator.position, validator.complete) == expected(data)


@pytest.mark.parametrize("size", [256 * 1024 - 1, 256 * 1024, 1 << 20])
def test_large_texts(level, size):
    """From 256 KiB on without the GIL."""
    data = bytearray(("漢" * (size // 3 + 1)).encode()[: size - size % 3])
    assert utf8.is_valid_utf8(data)
    assert utf8.is_valid_utf8(bytes(data))
    for at in (0, 4096, len(data) - 1):
        damaged = bytearray(data)
        damaged[at] = 0xC1
        assert whole(damaged) == (at, False)


# --- no byte outside -------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀"])
def test_every_length_between_guard_pages(level, pages, character):
    text = (character * 400).encode()
    for size in range(400):
        data = text[:size]
        want = reference.is_complete_utf8(data)
        for view in (pages[0].at_start(data), pages[0].at_end(data)):
            assert utf8.is_valid_utf8(view) == want, size
            assert whole(view) == (size, want)


@pytest.mark.parametrize("name", kernels.LEVELS)
@pytest.mark.parametrize("character", ["x", "é", "漢", "😀"])
def test_unmask_between_guard_pages(name, character, pages):
    """ws_unmask_utf8 and ws_unmask_ascii, into other memory and in place."""
    library = kernels.load(name)
    source, target = pages
    key = bytes.fromhex("37fa213d")
    number = int.from_bytes(key, sys.byteorder)
    text = (character * 330).encode()
    for size, end in itertools.product(range(330), (False, True)):
        src = source.place(reference.mask(text[:size], key), end=end)
        dst = target.place(bytes(size), end=end)
        assert library.ws_unmask_ascii(dst, src, size, number) == text[:size].isascii()
        for to in (dst, src):
            state = kernels.State()
            assert library.ws_unmask_utf8(ctypes.byref(state), to, src, size, number) == size
            assert ctypes.string_at(to, size) == text[:size] if size else True
            assert (state.pending == 0) == reference.is_complete_utf8(text[:size])


@pytest.mark.parametrize("name", kernels.LEVELS)
def test_unmask_goes_on_after_an_error(name, pages):
    """All of dst is written, over several blocks, and the offset is that of the first error."""
    library = kernels.load(name)
    rng = random.Random(3)
    key = bytes.fromhex("37fa213d")
    number = int.from_bytes(key, sys.byteorder)
    block = Guarded(16384)
    for _ in range(60):
        text = bytearray(rng.choice(("abc", "é漢", "a😀")) * 5000, "utf-8")[: rng.randrange(14000)]
        for _ in range(rng.randrange(3)):
            text[rng.randrange(len(text) or 1) : 0] = bytes([rng.randrange(256)])
        src = block.place(reference.mask(bytes(text), key), end=True)
        state = kernels.State()
        valid = library.ws_unmask_utf8(ctypes.byref(state), src, src, len(text), number)
        assert valid == reference.utf8_error_offset(bytes(text))
        assert ctypes.string_at(src, len(text)) == bytes(text)


@pytest.mark.parametrize("name", kernels.LEVELS)
def test_one_high_bit_is_seen_anywhere(name, pages):
    library = kernels.load(name)
    for size in (1, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 130, 255, 256, 300, 600):
        for at in range(size):
            data = bytearray(size)
            data[at] = 0x80
            src = pages[0].place(bytes(data), end=True)
            dst = pages[1].place(bytes(size), end=True)
            assert library.ws_unmask_ascii(dst, src, size, 0) == 0, (size, at)


@pytest.mark.parametrize("name", kernels.LEVELS)
def test_validate_says_complete(name, pages):
    library = kernels.load(name)
    for text in (b"", b"x", "é".encode(), "é".encode()[:1], b"x" * 99 + b"\xe1\x80", b"x\xff"):
        for fill in (b"", b"y" * 80):
            data = fill + text
            complete = ctypes.c_int(7)
            address = pages[0].place(data, end=True)
            valid = library.ws_utf8_validate(address, len(data), ctypes.byref(complete))
            assert (valid, bool(complete.value)) == expected(data)


# --- the Python side -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_any_buffer(make):
    assert utf8.is_valid_utf8(make("héllo".encode()))
    assert not utf8.is_valid_utf8(make(b"h\xe9llo"))
    validator = utf8.Utf8Validator()
    assert validator.feed(make(b"h\xc3"))
    assert not validator.feed(make(b"llo"))


def test_a_validator_from_start_to_reset():
    validator = utf8.Utf8Validator()
    assert (validator.valid, validator.complete, validator.position) == (True, True, 0)
    assert validator.feed(b"caf\xc3") is True
    assert (validator.valid, validator.complete, validator.position) == (True, False, 4)
    assert validator.feed(b"") is True
    assert validator.feed(b"\xa9") is True
    assert (validator.valid, validator.complete, validator.position) == (True, True, 5)
    assert validator.feed(b"ab\xff") is False
    assert (validator.valid, validator.complete, validator.position) == (False, False, 7)
    assert validator.feed(b"abc") is False
    assert validator.position == 7
    validator.reset()
    assert (validator.valid, validator.complete, validator.position) == (True, True, 0)
    assert validator.feed("é".encode()) is True


def test_reset_forgets_an_unfinished_sequence():
    validator = utf8.Utf8Validator()
    validator.feed(b"\xf0\x9f\x98")
    validator.reset()
    assert validator.feed(b"\x80") is False
    assert validator.position == 0


@pytest.mark.parametrize("wrong", ["text", 3, None, ["a"]])
def test_only_bytes_like_objects(wrong):
    with pytest.raises(TypeError, match="bytes-like"):
        utf8.is_valid_utf8(wrong)
    with pytest.raises(TypeError, match="bytes-like"):
        utf8.Utf8Validator().feed(wrong)


def test_strided_data_is_refused():
    with pytest.raises(BufferError):
        utf8.is_valid_utf8(memoryview(b"datadata")[::2])


def test_properties_are_read_only():
    validator = utf8.Utf8Validator()
    for name in ("valid", "complete", "position"):
        with pytest.raises(AttributeError):
            setattr(validator, name, True)
