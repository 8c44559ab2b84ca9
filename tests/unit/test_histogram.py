"""wsfast.loadgen.histogram against sorted samples and against the hdrhistogram package."""

from __future__ import annotations

import math
import pickle
import random
import statistics

import pytest

pytest.importorskip("numpy")
pytest.importorskip("hypothesis")
module = pytest.importorskip("wsfast.loadgen.histogram")
Histogram = module.Histogram

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

PERCENTAGES = [0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0]
durations = st.one_of(
    st.integers(0, 5000), st.integers(0, module.HIGHEST), st.sampled_from([2047, 2048, 4095, 4096])
)


def histogram_of(values):
    histogram = Histogram()
    histogram.record_all(values)
    return histogram


def latencies(seed, count):
    """Log-normal durations around 100 us: what a loaded server looks like."""
    source = random.Random(seed)
    return [int(source.lognormvariate(math.log(100_000), 1.2)) for _ in range(count)]


def nearest_rank(ordered, percentage):
    """The oracle: the value at ceil(p * n / 100), counted from one, with exact arithmetic."""
    rank = max(1, -(-int(percentage * 1000) * len(ordered) // 100_000))
    return ordered[rank - 1]


def slot_of(value):
    """The slot by definition: bucket 0 is exact, bucket b is 2**b wide."""
    bucket = max(0, value.bit_length() - 11)
    return (bucket << 10) + (value >> bucket)


def test_an_empty_histogram_is_all_zero():
    histogram = Histogram()
    assert histogram.total == histogram.sum == histogram.minimum == histogram.maximum == 0
    assert histogram.mean == histogram.stdev == 0.0
    assert histogram.percentiles(PERCENTAGES) == [0] * len(PERCENTAGES)
    assert not histogram.counts.any()


@given(st.integers(0, module.HIGHEST))
def test_a_value_is_counted_in_its_slot(value):
    counts = histogram_of([value]).counts
    assert counts.nonzero()[0].tolist() == [slot_of(value)]
    first, last = module.slot_bounds(slot_of(value))
    assert first <= value <= last
    assert last - first <= value / 1000


def test_slots_follow_each_other_without_a_gap():
    expected = 0
    for slot in range(module.SLOTS):
        first, last = module.slot_bounds(slot)
        assert first == expected
        expected = last + 1
    assert expected > module.HIGHEST


@pytest.mark.parametrize("slot", [-1, module.SLOTS])
def test_a_slot_that_does_not_exist(slot):
    with pytest.raises(IndexError, match="outside"):
        module.slot_bounds(slot)


@settings(max_examples=60)
@given(st.lists(durations, min_size=1, max_size=300))
def test_percentiles_against_sorted_samples(values):
    ordered = sorted(values)
    found = histogram_of(values).percentiles(PERCENTAGES)
    for percentage, got in zip(PERCENTAGES, found, strict=True):
        exact = nearest_rank(ordered, percentage)
        assert exact <= got <= exact + exact / 1000
        assert ordered[0] <= got <= ordered[-1]


@pytest.mark.parametrize("seed", range(3))
def test_against_the_hdrhistogram_package(seed):
    hdrh = pytest.importorskip("hdrh.histogram")
    oracle = hdrh.HdrHistogram(1, module.HIGHEST, module.DIGITS)
    values = latencies(seed, 5001)  # odd: the two round a rank that is a half differently
    for value in values:
        oracle.record_value(value)
    histogram = histogram_of(values)
    assert oracle.counts_len == module.SLOTS
    theirs = [oracle.get_count_at_index(slot) for slot in range(module.SLOTS)]
    assert histogram.counts.tolist() == theirs
    assert histogram.stdev == pytest.approx(oracle.get_stddev(), rel=1e-3)
    for percentage in (50.0, 90.0, 99.0, 99.9):
        got = histogram.percentiles([percentage])[0]
        assert got == pytest.approx(oracle.get_value_at_percentile(percentage), rel=0.05)


def test_the_moments():
    values = latencies(7, 4000)
    histogram = histogram_of(values)
    assert histogram.total == 4000
    assert histogram.sum == sum(values)
    assert histogram.mean == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert histogram.stdev == pytest.approx(statistics.pstdev(values), rel=2e-3)
    assert (histogram.minimum, histogram.maximum) == (min(values), max(values))


def test_p999_of_a_thousand_values_is_not_the_largest():
    values = [1] * 999 + [1_000_000]
    assert histogram_of(values).percentiles([99.9, 99.91, 100.0]) == [1, 1_000_000, 1_000_000]


@pytest.mark.parametrize("percentage", [-0.1, 100.1, math.nan])
def test_a_percentage_that_is_none(percentage):
    with pytest.raises(ValueError, match=r"outside 0\.\.100"):
        histogram_of([1]).percentiles([percentage])


def test_beyond_one_hour():
    histogram = histogram_of([module.HIGHEST, module.HIGHEST + 1, 2**63])
    assert histogram.clamped == 2
    assert histogram.total == 3
    assert histogram.maximum == 2**63
    assert int(histogram.counts[slot_of(module.HIGHEST)]) == 3


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_value_that_is_no_duration(value):
    histogram = Histogram()
    with pytest.raises(OverflowError):
        histogram.record_all([5, value])
    assert histogram.total == 1


@settings(max_examples=40)
@given(st.lists(st.lists(durations, max_size=60), min_size=1, max_size=5))
def test_merged_equals_the_histogram_of_all(parts):
    merged = Histogram()
    for part in parts:
        merged.merge(histogram_of(part))
    assert merged == histogram_of([value for part in parts for value in part])


def test_merging_leaves_the_other_alone():
    one, other = histogram_of([1, 2]), histogram_of([3])
    one.merge(other)
    assert other == histogram_of([3])
    with pytest.raises(TypeError):
        one.merge(None)


def test_equality_sees_more_than_the_counts():
    wide = module.slot_bounds(slot_of(10**9))
    assert histogram_of([wide[0]]) != histogram_of([wide[1]])
    assert Histogram() != 0


def test_pickled_and_restored():
    histogram = histogram_of(latencies(3, 500))
    assert pickle.loads(pickle.dumps(histogram)) == histogram


@pytest.mark.parametrize("counts", [[1, -1], [0] * (module.SLOTS + 1)])
def test_counts_that_no_histogram_has(counts):
    with pytest.raises(ValueError, match="negative|do not fit"):
        module.restore(counts, 0, 0, 0, 0)


def test_the_counts_cannot_be_changed_from_outside():
    histogram = histogram_of([1])
    with pytest.raises(ValueError, match="read-only"):
        histogram.counts[0] = 7
    kept = histogram.counts
    del histogram
    assert int(kept.sum()) == 1
