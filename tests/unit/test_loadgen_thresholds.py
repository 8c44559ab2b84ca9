"""wsfast.loadgen.thresholds: conditions are read strictly, and judged on the right figure."""

from __future__ import annotations

import pytest

pytest.importorskip("hdrh")
pytest.importorskip("numpy")
thresholds = pytest.importorskip("wsfast.loadgen.thresholds")

from wsfast.loadgen.thresholds import evaluate, parse_threshold, regressions, value_of  # noqa: E402

MS = 1e6


def run(**fields):
    """The JSON of a run, as far as conditions look at it."""
    return {
        "summary": {
            "messages_per_second": 900.0,
            "achieved_rate": 950.0,
            "sent": 2000,
            "lost": 3,
            "received": 1997,
            "asked_rate": None,
        },
        "latency": {
            "actual": {"p50": 1 * MS, "p99": 10 * MS, "p99.9": 11 * MS},
            "intended": {"p50": 2 * MS, "p99": 20 * MS, "p99.9": 21 * MS},
        },
        "connections": {"asked": 50, "failed": 1, "handshake": {"p99": 5 * MS}},
        "errors": {"server": {"lost": 3, "closed_1001": 2}, "generator": {"backlog": 1}},
        "generator": {"lag": {"p99": 1000}, "bound": False},
        **fields,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p99", 20 * MS),
        ("actual.p99", 10 * MS),
        ("intended.p99.9", 21 * MS),
        ("latency.actual.p50", 1 * MS),
        ("handshake.p99", 5 * MS),
        ("lag.p99", 1000),
        ("generator.lag.p99", 1000),
        ("throughput", 900),
        ("rate", 950),
        ("errors", 6),
        ("failed", 1),
        ("summary.received", 1997),
    ],
)
def test_figures_by_name(name, value):
    assert value_of(name, run()) == value


def test_a_closed_loop_has_its_actual_latency():
    closed = run(latency={"actual": {"p99": 7 * MS}})
    assert value_of("p99", closed) == 7 * MS


@pytest.mark.parametrize("name", ["reach", "p98", "summary", "summary.nothing", "generator.bound"])
def test_what_is_no_figure(name):
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        value_of(name, run())


@pytest.mark.parametrize("name", ["asked_rate", "summary.asked_rate"])
def test_a_figure_that_this_run_does_not_have(name):
    with pytest.raises(ValueError):
        value_of(name, run())


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("p99>20ms", False),
        ("p99>=20ms", True),
        ("p99>19.9ms", True),
        ("p50<2ms", False),
        ("p50<=2ms", True),
        ("lag.p99 > 0.9us", True),
        ("throughput<1k", True),
        ("throughput<900", False),
        ("errors>0.3%", False),
        ("errors>0.29%", True),
        ("failed>=2%", True),
        ("failed>2%", False),
        ("lost>0", True),
    ],
)
def test_conditions(text, failed):
    outcome = evaluate(parse_threshold(text), run())
    assert outcome.failed is failed
    assert outcome.condition == text


def test_a_share_of_nothing_is_zero():
    empty = run(summary={"sent": 0})
    assert evaluate(parse_threshold("errors>0%"), empty).value == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no condition"),
        ("p99", "no condition"),
        ("p99=5ms", "no condition"),
        (">5ms", "no condition"),
        ("p99>5", "has a unit, as in 5ms"),
        ("handshake.max>5", "has a unit"),
        ("p99>5x", "no unit of time"),
        ("lost>1s", "no unit of a count"),
        ("lost>some%", "some"),
    ],
)
def test_what_is_no_condition(text, message):
    with pytest.raises(ValueError, match=message):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("throughput", "p99", "failed"),
    [
        (900.0, 20 * MS, set()),
        (820.0, 21 * MS, set()),
        (800.0, 20 * MS, {"throughput"}),
        (1800.0, 10 * MS, set()),
        (900.0, 22.5 * MS, {"p99"}),
    ],
)
def test_a_baseline(throughput, p99, failed):
    now = run()
    now["summary"] = {**now["summary"], "messages_per_second": throughput}
    now["latency"] = {"intended": {"p50": 2 * MS, "p99": p99}}
    outcomes = regressions(now, run(), 10.0)
    assert {each.condition.split()[0] for each in outcomes if each.failed} == failed
    assert len(outcomes) == 3
