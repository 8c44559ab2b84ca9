"""wsfast.loadgen.intervals: seconds add up to the run, over workers too."""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("numpy")
intervals = pytest.importorskip("wsfast.loadgen.intervals")

from wsfast.loadgen.histogram import Histogram  # noqa: E402

SECOND = intervals.INTERVAL_NS


def counts(**given):
    return {**dict.fromkeys(intervals.COUNTERS, 0), "other": 7, **given}


def rows_of(seconds, *, begun=10 * SECOND):
    """The rows of a run whose seconds hold these values, and the histogram of all of it."""
    histogram = Histogram()
    histogram.record_all([5])  # of the warm-up
    kept = intervals.Intervals(histogram)
    sent = 3
    kept.begin(begun, counts(sent=sent))
    for number, values in enumerate(seconds, 1):
        histogram.record_all(values)
        sent += len(values)
        assert kept.is_due(begun + number * SECOND)
        kept.close(begun + number * SECOND + 1000, counts(sent=sent, received=sent - 3))
    return kept.rows, histogram


def test_a_second_is_over_when_it_is():
    kept = intervals.Intervals(Histogram())
    assert not kept.is_due(5 * SECOND), "the window has not begun"
    kept.begin(5 * SECOND, counts())
    assert not kept.is_due(6 * SECOND - 1)
    assert kept.is_due(6 * SECOND)
    kept.close(6 * SECOND, counts())
    assert not kept.is_due(7 * SECOND - 1)
    assert kept.is_due(7 * SECOND)


def test_rows_hold_what_grew():
    rows, _ = rows_of([[100, 100, 300], [], [2_000_000]])
    assert [row["second"] for row in rows] == [0, 1, 2]
    assert [row["sent"] for row in rows] == [3, 0, 1]
    assert [row["received"] for row in rows] == [3, 0, 1]
    assert (rows[0]["p50"], rows[0]["p99"], rows[0]["max"]) == (100, 300, 300)
    assert (rows[1]["p50"], rows[1]["max"]) == (0, 0)
    assert 2_000_000 <= rows[2]["max"] < 2_002_048
    assert json.loads(json.dumps(rows)) == rows


def test_what_close_returns_is_small():
    kept = intervals.Intervals(Histogram())
    kept.begin(1, counts())
    row = kept.close(SECOND + 1, counts(sent=4))
    assert row["sent"] == 4
    assert "slots" not in row


def test_the_seconds_of_workers_merge_exactly():
    choose = random.Random(1)
    seconds = [[choose.randrange(1, 10**9) for _ in range(200)] for _ in range(6)]
    first, _ = rows_of(seconds[:3])
    second, _ = rows_of(seconds[3:5])
    merged = intervals.merge_intervals([first, second])
    assert len(merged) == 3
    for number, row in enumerate(merged):
        values = seconds[number] + (seconds[3 + number] if number < 2 else [])
        whole, _ = rows_of([values])
        for name in ("slots", "hits", "p50", "p99", "max", "sent"):
            assert row[name] == whole[0][name], name
    assert intervals.merge_intervals([]) == []


def test_seconds_in_which_nothing_came_merge_too():
    rows, _ = rows_of([[], [7], []])
    merged = intervals.merge_intervals([rows, rows])
    assert [row["hits"] for row in merged] == [[], [2], []]


def test_a_row_is_a_histogram():
    values = [1, 2047, 5_000, 123_456_789]
    rows, whole = rows_of([values])
    found = intervals.histogram_of(rows[0])
    assert found.total == len(values)
    expected = whole.counts.copy()
    expected[5] -= 1
    assert (found.counts == expected).all()
    assert found.minimum == 1
    assert found.maximum >= max(values)
    assert found.mean == pytest.approx(sum(values) / 4, rel=1e-3)
    empty, _ = rows_of([[]])
    assert intervals.histogram_of(empty[0]).total == 0
