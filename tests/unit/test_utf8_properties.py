"""Random bytes and damaged texts, cut at random, against the slow reference and CPython."""

from __future__ import annotations

import pytest

import reference
from utf8_feeding import expected, in_parts, whole
from wsfast import cpu, utf8

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies

LEVELS = cpu.cpu_levels()


@hypothesis.given(
    data=st.binary(max_size=80), sizes=st.lists(st.integers(1, 70), min_size=1, max_size=6)
)
def test_random_bytes(data, sizes):
    assert in_parts(data, sizes) == whole(data) == expected(data)
    assert utf8.is_valid_utf8(data) == reference.is_complete_utf8(data)


@hypothesis.given(
    text=st.text(max_size=600),
    damage=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=2),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    name=st.sampled_from(LEVELS),
)
def test_damaged_text(text, damage, sizes, name):
    data = bytearray(text, "utf-8")
    for at, value in damage:
        if data:
            data[at % len(data)] = value
    before = cpu.cpu_level()
    cpu.set_cpu_level(name)
    try:
        assert in_parts(data, sizes) == whole(data) == expected(data)
    finally:
        cpu.set_cpu_level(before)
