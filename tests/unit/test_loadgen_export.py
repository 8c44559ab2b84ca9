"""wsfast.loadgen.export: other tools read back what was measured."""

from __future__ import annotations

import csv
import io
import json
import random

import pytest

pytest.importorskip("numpy")
hdrh = pytest.importorskip("hdrh.histogram")
pytest.importorskip("hdrh.log")
parser = pytest.importorskip("prometheus_client.parser")
export = pytest.importorskip("wsfast.loadgen.export")

from hdrh.log import HistogramLogReader  # noqa: E402

from wsfast.loadgen.document import figures  # noqa: E402
from wsfast.loadgen.histogram import Histogram  # noqa: E402
from wsfast.loadgen.intervals import COUNTERS, INTERVAL_NS, Intervals, merge_intervals  # noqa: E402

CHOOSE = random.Random(5)
SECONDS = [[CHOOSE.randrange(10**5, 10**8) for _ in range(500)] for _ in range(3)]


@pytest.fixture(scope="module")
def document():
    """The JSON of a run of three seconds."""
    histogram = Histogram()
    kept = Intervals(histogram)
    counts = dict.fromkeys(COUNTERS, 0)
    kept.begin(1, counts)
    for number, values in enumerate(SECONDS, 1):
        histogram.record_all(values)
        counts["sent"] += len(values)
        kept.close(1 + number * INTERVAL_NS, counts)
    return {
        "summary": {
            "messages_per_second": 500.0,
            **dict.fromkeys(("received", "lost", "duplicate", "reordered", "unanswered"), 0),
            "sent": 1500,
        },
        "latency": {"intended": figures(histogram), "actual": figures(Histogram())},
        "connections": {"asked": 4, "opened": 3, "failed": 1, "handshake": figures(Histogram())},
        "errors": {"server": {"lost": 2}, "generator": {}},
        "stages": [],
        "intervals": merge_intervals([kept.rows]),
    }


def near(value):
    return pytest.approx(value, rel=1e-3)


def test_json(document):
    assert json.loads(export.as_json(document)) == document


def test_csv(document):
    lines = list(csv.DictReader(io.StringIO(export.as_csv(document))))
    assert [line["second"] for line in lines] == ["0", "1", "2"]
    assert [line["sent"] for line in lines] == ["500"] * 3
    for line, values in zip(lines, SECONDS, strict=True):
        assert float(line["max_ns"]) == near(max(values))
        assert float(line["p50_ns"]) == near(sorted(values)[249])


def test_hgrm_has_the_percentiles(document):
    values = sorted(value for second in SECONDS for value in second)
    rows = [line.split() for line in export.as_hgrm(document).splitlines()]
    rows = [row for row in rows if len(row) == 4 and row[0][0].isdigit()]
    assert len(rows) > 20
    for value, quantile, total, _ in rows:
        assert int(total) <= 1500
        rank = max(1, round(float(quantile) * 1500))
        assert float(value) * 1e6 == pytest.approx(values[rank - 1], rel=0.01)


def test_hlog_is_read_by_its_own_reader(document, tmp_path):
    path = tmp_path / "run.hlog"
    path.write_text(export.as_hlog(document))
    reader = HistogramLogReader(str(path), hdrh.HdrHistogram(1, 3_600_000_000_000, 3))
    found = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        found.append(interval)
    reader.close()
    assert [each.get_total_count() for each in found] == [500] * 3
    for each, values in zip(found, SECONDS, strict=True):
        assert each.get_value_at_percentile(50.0) == near(sorted(values)[249])
        assert each.get_max_value() == near(max(values))


def test_prom_is_read_by_prometheus(document):
    text = export.as_prom(document)
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["wsfast_bench_messages_per_second",] == 500.0
    assert found["wsfast_bench_sent_total",] == 1500.0
    assert found["wsfast_bench_connections", "failed"] == 1.0
    assert found["wsfast_bench_errors_total", "lost", "server"] == 2.0
    values = [value for second in SECONDS for value in second]
    name = "wsfast_bench_latency_intended_seconds"
    assert found[f"{name}_count",] == 1500
    assert found[f"{name}_sum",] == near(sum(values) / 1e9)
    assert found[name, "0.99"] == near(sorted(values)[1484] / 1e9)


def test_files(document, tmp_path):
    for suffix in export.SUFFIXES:
        path = export.check_path(str(tmp_path / f"run{suffix}"))
        export.write(path, document)
        assert (tmp_path / f"run{suffix}").stat().st_size > 100


@pytest.mark.parametrize(
    ("path", "said"), [("run.txt", "none of"), ("a/b/run.csv", "no directory")]
)
def test_files_that_cannot_be(path, said):
    with pytest.raises(ValueError, match=said):
        export.check_path(path)


def staged(document):
    """The same run with two stages, the second without CPU figures."""
    one = {
        "stage": 1,
        "seconds": 2.0,
        **{"from_rate": 0.0, "to_rate": 100.0, "asked_rate": 50.0},
        **{"sent": 100, "sent_rate": 50.0, "received": 90, "received_rate": 45.0, "censored": 10},
        "cpu_percents": [20.0, 30.0],
        **{name: {"p50": 1, "p99": 2, "max": 3} for name in ("intended", "actual", "lag")},
    }
    return {**document, "stages": [one, {**one, "stage": 2, "cpu_percents": []}]}


def test_stages_are_a_file_of_their_own(document, tmp_path):
    export.write(str(tmp_path / "run.csv"), staged(document))
    first, second = csv.DictReader((tmp_path / "run.stages.csv").read_text().splitlines())
    assert (first["stage"], first["asked_rate"], first["received"]) == ("1", "50.0", "90")
    assert (first["intended_p50_ns"], first["actual_p99_ns"]) == ("1", "2")
    assert first["lag_max_ns"] == "3"
    assert (first["cpu_percent"], second["cpu_percent"]) == ("30.0", "")
    assert len((tmp_path / "run.csv").read_text().splitlines()) == 4


def test_without_stages_there_is_no_such_file(document, tmp_path):
    export.write(str(tmp_path / "run.csv"), document)
    assert [path.name for path in tmp_path.iterdir()] == ["run.csv"]
