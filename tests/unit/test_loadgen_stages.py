"""wsfast.loadgen.stages: what was asked of each stage, and what workers counted, merged."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")
pytest.importorskip("hdrh")
stages = pytest.importorskip("wsfast.loadgen.stages")
from wsfast.loadgen.hdrblob import to_dict  # noqa: E402
from wsfast.loadgen.histogram import Histogram  # noqa: E402

S = 1_000_000_000


def test_ramps_begin_where_the_last_one_ended():
    first, second = stages.planned(100.0, [(2.0, 300.0), (1.0, 300.0)])
    assert (first.from_rate, first.to_rate, first.messages) == (100.0, 300.0, 400.0)
    assert (second.from_rate, second.to_rate, second.messages) == (300.0, 300.0, 300.0)


@pytest.mark.parametrize(
    ("rate", "parts", "expected"),
    [(50.0, [], 50.0), (0.0, [(2.0, 100.0)], 50.0), (100.0, [(1.0, 100.0), (3.0, 0.0)], 62.5)],
)
def test_the_rate_over_all_stages(rate, parts, expected):
    assert stages.asked_over(rate, parts) == expected


def row(values, sent, cpu_percent):
    histogram = Histogram()
    histogram.record_all(values)
    blobs = {name: to_dict(histogram) for name in stages.NAMES}
    counts = {"sent": sent, "received": len(values), "censored": sent - len(values)}
    return {**counts, "histograms": blobs, "cpu_percent": cpu_percent}


def test_workers_add_up():
    stage = stages.Stage()
    stage.add(row([1000, 2000], 3, 40.0))
    stage.add(row([5000], 1, None))
    assert (stage.sent, stage.received, stage.censored) == (4, 3, 1)
    assert stage.histograms["intended"].total == stage.histograms["lag"].total == 3
    assert stage.histograms["actual"].maximum == 5000
    assert stage.cpu_percents == [40.0]


def test_two_stages_share_nothing():
    one, other = stages.Stage(), stages.Stage()
    one.add(row([7], 1, 1.0))
    assert other.histograms["intended"].total == 0
    assert other.cpu_percents == []


def test_a_missing_field():
    with pytest.raises(KeyError, match="sent"):
        stages.Stage().add({})


def test_cpu_time_between_marks():
    marks = stages.CpuMarks([1.0, 2.0])
    assert not marks.is_due(9 * S)
    marks.begin(S, 10.0)
    assert not marks.is_due(2 * S - 1)
    assert marks.is_due(2 * S)
    marks.mark(2 * S, 10.5)
    assert not marks.is_due(4 * S - 1)
    assert marks.percents() == [50.0, None]
    marks.mark(4 * S, 12.1)
    assert marks.percents() == pytest.approx([50.0, 80.0])
    assert not marks.is_due(99 * S)


def test_a_run_that_never_began():
    assert stages.CpuMarks([1.0, 2.0]).percents() == [None, None]
    assert stages.CpuMarks([]).percents() == []


def test_a_mark_behind_several_ends_is_shared_by_them():
    """A process that was paused for two stages."""
    marks = stages.CpuMarks([1.0, 2.0, 1.0, 1.0])
    marks.begin(0, 5.0)
    marks.mark(4 * S, 6.0)
    assert not marks.is_due(5 * S - 1)
    assert marks.percents()[:3] == pytest.approx([25.0] * 3)
    assert marks.percents()[3] is None
    marks.mark(6 * S, 6.5)
    assert marks.percents() == pytest.approx([25.0] * 4)


def test_a_late_mark_is_of_the_time_that_passed():
    marks = stages.CpuMarks([1.0])
    marks.begin(0, 0.0)
    marks.mark(2 * S, 1.0)
    assert marks.percents() == [50.0]
