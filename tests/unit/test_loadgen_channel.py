"""wsfast.loadgen.channel: JSON lines over a pipe, cut anywhere."""

from __future__ import annotations

import contextlib
import os

import pytest

from wsfast.loadgen.channel import LineReader, write_line


@pytest.fixture
def pipe():
    """Both ends of a pipe; a test may have closed either."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):
            os.close(fd)


def test_values_pass_in_order(pipe):
    reading, writing = pipe
    for value in ({"event": "progress"}, [1, "ä\n"], None):
        write_line(writing, value)
    assert LineReader(reading).read() == [{"event": "progress"}, [1, "ä\n"], None]


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_lines_cut_anywhere(pipe, step):
    reading, writing = pipe
    reader = LineReader(reading)
    data = b'{"a":1}\n{"b":[2,3]}\n'
    found = []
    for start in range(0, len(data), step):
        os.write(writing, data[start : start + step])
        found += reader.read()
    assert found == [{"a": 1}, {"b": [2, 3]}]
    assert not reader.ended


def test_the_end(pipe):
    reading, writing = pipe
    reader = LineReader(reading)
    write_line(writing, 1)
    os.close(writing)
    assert reader.read() == [1]
    assert not reader.ended
    assert reader.read() == []
    assert reader.ended


def test_nothing_there_on_a_descriptor_that_does_not_block(pipe):
    reading, _ = pipe
    os.set_blocking(reading, False)
    assert LineReader(reading).read() == []


def test_no_json(pipe):
    reading, writing = pipe
    os.write(writing, b"Traceback (most recent call last)\n")
    with pytest.raises(ValueError, match="Expecting value"):
        LineReader(reading).read()


def test_nobody_reads(pipe):
    reading, writing = pipe
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        write_line(writing, 1)
