"""The byte buffer: a probe in Cython calls its C functions, a bytearray is the model."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path

import pytest

from wsfast.buffer import Buffer

pytest.importorskip("Cython", reason="Cython is not installed")
pytest.importorskip("setuptools", reason="setuptools is not installed")


@pytest.fixture(scope="module")
def probe():
    from bench.cython_module import load

    return load(Path(__file__).parent / "probe.pyx")


@pytest.fixture
def held(probe):
    return probe.Probe()


def content(held):
    return bytes(memoryview(held.buffer))


def test_a_new_buffer_is_empty_and_holds_no_block(held):
    assert len(held.buffer) == 0
    assert held.buffer.exports == 0
    assert (held.capacity, held.address) == (0, 0)
    assert content(held) == b""
    assert held.take() == b""
    held.release()
    held.append(b"")
    assert held.capacity == 0


def test_bytes_come_out_as_they_went_in(held):
    held.append(b"Hello, ")
    held.append(b"world")
    assert len(held.buffer) == 12
    assert content(held) == b"Hello, world"
    held.consume(7)
    assert content(held) == b"world"
    held.append(b"!")
    assert held.take() == b"world!"
    assert len(held.buffer) == 0
    assert held.take() == b""


def test_consuming_everything_starts_again_at_the_front(held):
    held.append(b"x" * 512)
    address = held.address
    for _ in range(100):
        held.consume(512)
        held.append(b"y" * 512)
    assert (held.capacity, held.address) == (512, address)


def test_room_in_front_is_used_before_a_larger_block(held):
    held.append(b"a" * 400 + b"b" * 100)
    held.consume(400)
    held.append(b"c" * 400)
    assert content(held) == b"b" * 100 + b"c" * 400
    assert held.capacity == 512


def test_a_block_at_least_doubles(held):
    sizes = set()
    for _ in range(100_000):
        held.append(b"x")
        sizes.add(held.capacity)
    assert len(sizes) <= 10
    assert held.capacity <= 2 * 131_072
    held.append(bytes(1_000_000))
    assert len(held.buffer) == 1_100_000


def test_reserved_room_is_there(held):
    held.append(b"abc")
    for size in (0, 1, 509, 510, 5000):
        held.reserve(size)
        assert content(held) == b"abc"
    assert held.capacity >= 5003


def test_release_gives_the_block_back(held):
    held.append(bytes(100_000))
    held.release()
    assert (held.capacity, held.address, len(held.buffer)) == (0, 0, 0)
    held.append(b"again")
    assert content(held) == b"again"


@pytest.mark.parametrize("make", ["memoryview", "view"])
def test_a_view_pins_the_block(held, make):
    held.append(b"Hello")
    address = held.address
    view = memoryview(held.buffer) if make == "memoryview" else held.view(0, 5)
    assert held.buffer.exports == 1
    with pytest.raises(BufferError, match="pinned by 1 views cannot grow"):
        held.append(bytes(1000))
    held.release()
    assert held.address == address
    assert view == b"Hello"
    view.release()
    assert held.buffer.exports == 0
    held.release()
    assert held.address == 0


def test_a_pinned_block_still_takes_what_fits(held):
    held.append(b"Hello")
    view = held.view(0, 5)
    held.append(b"x" * 507)
    assert view == b"Hello"
    assert len(held.buffer) == 512
    del view


def test_views_of_parts(held):
    held.append(b"__Hello__")
    held.consume(1)
    part = held.view(1, 5)
    inner = part[1:3]
    assert (part, inner) == (b"Hello", b"el")
    assert part.readonly
    assert held.buffer.exports >= 1
    part.release()
    assert inner == b"el"
    inner.release()
    assert held.buffer.exports == 0


def test_a_view_outlives_its_buffer(probe):
    held = probe.Probe()
    held.append(b"x" * 10_000)
    view = held.view(5000, 10)
    whole = memoryview(held.buffer)
    del held
    assert view == b"x" * 10
    assert len(whole) == 10_000


def test_content_is_read_only(held):
    held.append(b"Hello")
    with pytest.raises(TypeError, match="read-only"):
        memoryview(held.buffer)[0] = 1
    assert held.buffer.exports == 0


def test_python_can_make_one_and_see_it_empty():
    buffer = Buffer()
    assert len(buffer) == 0
    assert bytes(memoryview(buffer)) == b""


@pytest.mark.parametrize("seed", range(20))
def test_it_behaves_as_a_bytearray(probe, seed):
    """A thousand random steps against the model."""
    choose, held, model = random.Random(seed), probe.Probe(), bytearray()
    for _ in range(1000):
        step = choose.random()
        if step < 0.5:
            data = choose.randbytes(choose.choice([0, 1, 3, 100, 600, 5000]))
            held.append(data)
            model += data
        elif step < 0.9:
            size = choose.randint(0, len(model))
            held.consume(size)
            del model[:size]
        elif step < 0.95:
            assert held.take() == model
            model.clear()
        elif step < 0.97:
            held.release()
            model.clear()
        assert len(held.buffer) == len(model)
        assert content(held) == model


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_copied_or_pickled(held, take):
    """A copy would share the block, and free it twice."""
    held.append(b"Hello")
    for each in (held.buffer, Buffer()):
        with pytest.raises(TypeError, match="Buffer"):
            take(each)
