"""wsfast.loadgen.stagecounts: a message belongs to the stage in which it was due."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")
stagecounts = pytest.importorskip("wsfast.loadgen.stagecounts")
StageCounts = stagecounts.StageCounts

S = 1_000_000_000
MS = 1_000_000
START = 5 * S


@pytest.fixture
def counts():
    found = StageCounts([1.0, 0.5, 2.0])
    found.begin(START)
    return found


@pytest.mark.parametrize(
    ("due", "stage"),
    [(0, 0), (S - 1, 0), (S, 1), (S + S // 2 - 1, 1), (S + S // 2, 2), (9 * S, 2)],
)
def test_where_a_message_belongs(counts, due, stage):
    counts.count_sent(START + due, START + due + MS)
    assert [row["sent"] for row in counts.rows()] == [int(n == stage) for n in range(3)]


def test_a_late_answer_counts_for_the_stage_of_its_message(counts):
    counts.count_sent(START, START + MS)
    counts.count_answer(START, START + MS, START + 3 * S)
    first, second, _ = counts.rows()
    assert (first["sent"], first["received"]) == (1, 1)
    assert first["histograms"]["intended"].maximum == 3 * S
    assert first["histograms"]["actual"].maximum == 3 * S - MS
    assert first["histograms"]["lag"].maximum == MS
    assert second["received"] == second["histograms"]["intended"].total == 0


def test_what_was_not_answered_is_censored(counts):
    counts.count_sent(START + S, START + S)
    counts.count_answer(START + S, START + S, START + 2 * S)
    counts.count_censored(START + S)
    row = counts.rows()[1]
    assert (row["sent"], row["received"], row["censored"]) == (1, 0, 1)
    assert row["histograms"]["intended"].total == 1


def test_one_stage_has_everything():
    counts = StageCounts([1.0])
    counts.begin(START)
    for due in (START, START + 99 * S):
        counts.count_sent(due, due)
    assert [row["sent"] for row in counts.rows()] == [2]


def test_no_stage_at_all():
    with pytest.raises(ValueError, match="no stages"):
        StageCounts([])


def test_many_stages_add_up():
    counts = StageCounts([0.001] * 200)
    counts.begin(START)
    for number in range(2000):
        due = START + number * (MS // 10)
        counts.count_sent(due, due + 5)
        counts.count_answer(due, due + 5, due + 25)
    rows = counts.rows()
    assert [row["sent"] for row in rows] == [row["received"] for row in rows] == [10] * 200
    assert {row["histograms"]["actual"].maximum for row in rows} == {20}
    assert {row["histograms"]["intended"].minimum for row in rows} == {25}
    assert {row["histograms"]["lag"].total for row in rows} == {10}
