"""wsfast.mask: every kernel against the reference, every length, alignment and key phase."""

from __future__ import annotations

import array
import contextlib
import ctypes
import inspect
import itertools
import random
import sys
import threading

import pytest

import kernels
import reference
from wsfast import cpu, mask

KEY = bytes.fromhex("37fa213d")
LEVELS = cpu.cpu_levels()
#: Around every vector and block size of a kernel, and where the GIL is released.
SIZES = [511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097]
LARGE = [256 * 1024 - 1, 256 * 1024, 256 * 1024 + 5, (1 << 20) + 3]


def noise(size, seed=7):
    return random.Random(seed).randbytes(size)


# --- the example of the standard -------------------------------------------------------------


def test_example_of_the_rfc(level):
    """RFC 6455 section 5.7: a masked "Hello"."""
    assert mask.apply_mask(b"Hello", KEY) == bytes.fromhex("7f9f4d5158")
    assert mask.apply_mask(bytes.fromhex("7f9f4d5158"), KEY) == b"Hello"


# --- every length, place and key phase -------------------------------------------------------


def test_every_length_between_guard_pages(level, pages):
    """From the very first byte of a page and up to the very last one."""
    data = noise(320)
    for size in range(len(data) + 1):
        for place, offset in itertools.product((pages[0].at_start, pages[0].at_end), range(4)):
            part = data[:size]
            expected = reference.mask(part, KEY, offset)
            view = place(part)
            assert mask.apply_mask(view, KEY, offset) == expected, size
            mask.apply_mask_in_place(view, KEY, offset)
            assert view.tobytes() == expected, size


@pytest.mark.parametrize("size", SIZES)
def test_blocks_between_guard_pages(level, pages, size):
    data = noise(size)
    for place, offset in itertools.product((pages[0].at_start, pages[0].at_end), (0, 1, 2, 3, 7)):
        view = place(data)
        mask.apply_mask_in_place(view, KEY, offset)
        assert view.tobytes() == reference.mask(data, KEY, offset)


def test_every_alignment_leaves_the_rest_alone(level):
    """All 64 places in a cache line: the bytes around stay as they are."""
    for skew, size in itertools.product(range(64), (1, 5, 31, 64, 100, 255, 256, 300, 513)):
        block = bytearray(noise(size + 128, seed=skew))
        expected = bytearray(block)
        expected[skew : skew + size] = reference.mask(block[skew : skew + size], KEY)
        mask.apply_mask_in_place(memoryview(block)[skew : skew + size], KEY)
        assert block == expected


@pytest.mark.parametrize("size", LARGE)
def test_large_payloads(level, size):
    data = noise(size)
    masked = mask.apply_mask(data, KEY, 3)
    head, tail = 1000, size - 1000
    assert masked[:head] == reference.mask(data[:head], KEY, 3)
    assert masked[tail:] == reference.mask(data[tail:], KEY, 3 + tail)
    block = bytearray(masked)
    mask.apply_mask_in_place(block, KEY, 3)
    assert block == data


# --- the C contracts that Python does not show -----------------------------------------------


@pytest.mark.parametrize("name", kernels.LEVELS)
def test_copy_between_guard_pages(name, pages):
    library = kernels.load(name)
    source, target = pages
    data = noise(300)
    key = int.from_bytes(KEY, sys.byteorder)
    for size, end in itertools.product(range(301), (False, True)):
        part = data[:size]
        src = source.place(part, end=end)
        dst = target.place(bytes(size), end=end)
        library.ws_mask_copy(dst, src, size, key)
        view = target.at_end(b"") if size == 0 else ctypes.string_at(dst, size)
        assert bytes(view) == reference.mask(part, KEY), size


@pytest.mark.parametrize("name", kernels.LEVELS)
def test_copy_may_move_down(name, pages):
    """dst below src, whatever the overlap: a receive buffer moves its tail that way."""
    library = kernels.load(name)
    block = pages[0]
    key = int.from_bytes(KEY, sys.byteorder)
    sizes = (0, 1, 3, 8, 15, 16, 31, 33, 64, 127, 129, 255, 256, 300, 511, 700, 1500)
    for size, shift in itertools.product(sizes, (0, 1, 2, 5, 14, 16, 31, 32, 63, 64, 65, 130)):
        data = noise(size, seed=shift)
        src = block.place(data, end=False, slack=shift)
        library.ws_mask_copy(src - shift, src, size, key)
        moved = ctypes.string_at(src - shift, size)
        assert moved == reference.mask(data, KEY), (size, shift)


def test_no_data_is_no_memory():
    """size 0 with a NULL pointer."""
    for name in LEVELS:
        library = kernels.load(name)
        library.ws_mask(None, 0, 1)
        library.ws_mask_copy(None, None, 0, 1)


# --- what is accepted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_any_buffer_is_masked(level, make):
    data = noise(70)
    assert mask.apply_mask(make(data), make(KEY)) == reference.mask(data, KEY)
    assert type(mask.apply_mask(make(data), KEY)) is bytes


@pytest.mark.parametrize("make", [bytearray, lambda data: array.array("B", data)])
def test_any_writable_buffer_is_masked_in_place(level, make):
    buffer = make(noise(70))
    assert mask.apply_mask_in_place(buffer, KEY) is None
    assert bytes(buffer) == reference.mask(noise(70), KEY)


def test_arguments_by_name():
    assert mask.apply_mask(data=b"ab", mask=KEY, offset=1) == reference.mask(b"ab", KEY, 1)
    buffer = bytearray(b"ab")
    mask.apply_mask_in_place(buffer=buffer, mask=KEY, offset=1)
    assert buffer == reference.mask(b"ab", KEY, 1)


def test_a_numpy_array_of_words_is_bytes():
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    words = numpy.arange(16, dtype="<u4")
    data = words.tobytes()
    mask.apply_mask_in_place(words, KEY)
    assert words.tobytes() == reference.mask(data, KEY)


def test_offset_may_be_huge():
    assert mask.apply_mask(b"abcdef", KEY, sys.maxsize) == reference.mask(b"abcdef", KEY, 3)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 5, 8])
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_key_has_four_bytes(size, make):
    with pytest.raises(ValueError, match=rf"{size} bytes, must have 4 \(RFC 6455 section 5\.3\)"):
        mask.apply_mask(b"data", make(bytes(size)))
    with pytest.raises(ValueError, match=f"{size} bytes, must have 4"):
        mask.apply_mask_in_place(bytearray(b"data"), make(bytes(size)))


@pytest.mark.parametrize("buffer", [b"data", memoryview(b"data"), memoryview(bytearray(8))[::2]])
def test_in_place_needs_a_writable_contiguous_buffer(buffer):
    with pytest.raises(BufferError, match="needs a writable contiguous buffer"):
        mask.apply_mask_in_place(buffer, KEY)


def test_strided_data_is_refused():
    with pytest.raises(BufferError):
        mask.apply_mask(memoryview(b"datadata")[::2], KEY)


@pytest.mark.parametrize("function", [mask.apply_mask, mask.apply_mask_in_place])
def test_only_bytes_like_objects(function):
    for arguments in (("text", KEY), (3, KEY), (bytearray(4), "abcd"), (bytearray(4), None)):
        with pytest.raises(TypeError, match="bytes-like"):
            function(*arguments)
    with pytest.raises(ValueError, match="offset is -1"):
        function(bytearray(4), KEY, -1)


def test_a_refused_key_leaves_the_buffer_alone():
    buffer = bytearray(b"data")
    with pytest.raises(ValueError, match="5 bytes"):
        mask.apply_mask_in_place(buffer, b"abcde")
    assert buffer == b"data"


# --- threads, levels, signature --------------------------------------------------------------


def test_a_bytearray_cannot_move_while_the_gil_is_released():
    """It is exported for as long as it is masked, so that another thread's append fails."""
    size = 8 << 20
    buffer = bytearray(size)
    done = threading.Event()

    def grow():
        while not done.is_set():
            with contextlib.suppress(BufferError):
                buffer.append(0)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(20):
            mask.apply_mask_in_place(buffer, KEY)
    finally:
        done.set()
        thread.join()
    assert buffer[:size] == bytes(size)


def test_signature_is_shown():
    assert str(inspect.signature(mask.apply_mask)) == "(data, mask, offset=0)"
