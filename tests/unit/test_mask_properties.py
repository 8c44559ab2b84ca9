"""Masking whole and in parts, at random, against the slow reference."""

from __future__ import annotations

import pytest

import reference
from wsfast import mask

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies


@hypothesis.given(
    data=st.binary(max_size=2000), key=st.binary(min_size=4, max_size=4), cut=st.integers(0)
)
def test_a_payload_may_be_cut_anywhere(data, key, cut):
    """Masking the parts, each with its offset, is masking the whole."""
    cut %= len(data) + 1
    whole = mask.apply_mask(data, key)
    parts = mask.apply_mask(data[:cut], key) + mask.apply_mask(data[cut:], key, cut)
    assert whole == parts == reference.mask(data, key)
    assert mask.apply_mask(whole, key) == data
