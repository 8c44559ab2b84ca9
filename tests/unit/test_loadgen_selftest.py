"""wsfast.loadgen.selftest: the formula, its tolerances, and a wrong figure is called wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "rich"):
    pytest.importorskip(package)
selftest = pytest.importorskip("wsfast.loadgen.selftest")

MS = selftest.MS


@pytest.mark.parametrize(
    ("q", "expected"), [(0.5, 0.5), (0.90, 2.5), (0.95, 51.5), (0.99, 90.7), (1.0, 100.5)]
)
def test_the_formula(q, expected):
    """100 ms every second, half a millisecond undisturbed, busy to 2 %."""
    found = selftest.freeze_latency(q, 0.5, 100.0, 1000.0, rho=0.02)
    assert found == pytest.approx(expected, abs=0.05)


def simulated(q, freeze, every, count=100_000):
    """The same by brute force: messages at even times wait for the end of the freeze."""
    waits = sorted(max(0.0, freeze - each * every / count) for each in range(count))
    return waits[min(count - 1, int(q * count))]


@pytest.mark.parametrize("q", [0.3, 0.85, 0.95, 0.999])
@pytest.mark.parametrize(("freeze", "every"), [(10.0, 100.0), (300.0, 1000.0)])
def test_the_formula_against_a_simulation(q, freeze, every):
    expected = simulated(q, freeze, every)
    assert selftest.freeze_latency(q, 0.0, freeze, every, rho=0.0) == pytest.approx(
        expected, abs=0.03
    )


@pytest.mark.parametrize(
    ("expected", "found", "holds"),
    [
        (MS, 2 * MS, True),
        (MS, 2.1 * MS, False),
        (100 * MS, 102 * MS, True),
        (100 * MS, 97 * MS, False),
    ],
)
def test_tolerances(expected, found, holds):
    assert selftest.near("it", expected, found).holds is holds
    assert ("ok" if holds else "WRONG") in selftest.shown(selftest.near("it", expected, found))


def test_of_several_rounds_the_medians_are_judged():
    def run(*found):
        return [selftest.near("p50", MS, found[0] * MS), selftest.near("p99", MS, found[1] * MS)]

    (usual, hiccups) = selftest.medians([run(1, 9), run(90, 9), run(1.5, 1)])
    assert (usual.what, usual.found, usual.holds) == ("p50", 1.5 * MS, True)
    assert (hiccups.what, hiccups.found, hiccups.holds) == ("p99", 9 * MS, False)
    alone = run(1, 9)
    assert selftest.medians([alone]) == alone


def test_every_proof_has_a_name_of_its_own():
    names = [proof.name for proof in selftest.proofs(quick=False)]
    assert len(names) == len(set(names)) >= 15
    assert {proof.name for proof in selftest.proofs(quick=True)} < set(names)


def document(**summary):
    """What a proof reads, with every figure 0 but the given ones."""
    zeros = dict.fromkeys(("sent", "lost", "duplicate", "reordered", "unexpected", "mismatch"), 0)
    figures = dict.fromkeys(("p50", "p75", "p90", "p95", "p99", "p99.9", "max", "min", "mean"), 0)
    return {
        "summary": {**zeros, **summary},
        "latency": {"intended": figures, "actual": figures},
        "generator": {"lag": {"p99": 200_000}},
        "verdict": {"name": "VALID"},
        "witness": MS,
        "capacity": 100_000.0,
        "delivery": {"expected": 60, "reach": 0, "last_subscriber": figures},
    }


def test_figures_that_are_wrong_are_called_wrong():
    """No proof accepts a run in which nothing was measured."""
    for proof in selftest.proofs(quick=False):
        assert not all(check.holds for check in proof.check(document())), proof.name


def test_a_share_is_counted_within_its_slack():
    proof = selftest.counted("drop", "lost", 0.05, 0.02)
    assert all(check.holds for check in proof.check(document(sent=10_000, lost=600)))
    assert not all(check.holds for check in proof.check(document(sent=10_000, lost=900)))
    mixed = document(sent=10_000, lost=500, duplicate=1)
    assert not all(check.holds for check in proof.check(mixed))


@pytest.mark.parametrize(("capacity", "wrong"), [(20_000.0, 0), (100_000.0, 2)])
def test_a_freeze_of_a_server_that_takes_its_time_to_catch_up(capacity, wrong):
    """Busy to a quarter: of a freeze of 100 ms in each second 25 ms more are seen."""
    figures = {"p50": 0.0, "p75": 0.0, "p95": 62.5, "p99": 92.5, "p99.9": 99.25, "max": 100.0}
    latency = {name: figure * MS for name, figure in figures.items()}
    run = {"latency": {"intended": latency}, "capacity": capacity}
    found = list(selftest.freeze(100, 1000, 5000).check(run))
    assert [each.holds for each in found].count(False) == wrong


def test_a_skewed_broadcast():
    def run(p50, p99, last, reach):
        return {
            "latency": {"actual": {"p50": p50 * MS, "p99": p99 * MS}},
            "delivery": {"expected": 300, "reach": reach, "last_subscriber": {"p50": last * MS}},
            "summary": {"sent": 60},
        }

    check = selftest.skewed_broadcast(5, 10).check
    assert all(each.holds for each in check(run(30.4, 50.9, 50.5, 300)))
    for wrong in (run(32, 50, 50, 300), run(30, 40, 50, 300), run(30, 50, 40, 300)):
        assert [each.holds for each in check(wrong)].count(False) == 1
    assert not all(each.holds for each in check(run(30, 50, 50, 299)))


@pytest.mark.parametrize(
    ("witness", "found", "holds"),
    [
        (50_000, 59_000, True),
        (50_000, 39_000, False),
        (MS, 1.04 * MS, True),
        (MS, 0.9 * MS, False),
    ],
)
def test_a_second_instrument_agrees(witness, found, holds):
    run = {"witness": witness, "latency": {"actual": {"p50": found}}}
    (check,) = selftest.second_instrument("").check(run)
    assert check.holds is holds


@pytest.mark.slow
def test_a_real_one():
    """Lost messages are counted, whatever else the machine does."""
    command = [sys.executable, "-m", "wsfast.loadgen", "selftest", "-k", "--drop", "--rounds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every figure is right" in done.stdout


def test_a_word_that_names_no_proof():
    command = [sys.executable, "-m", "wsfast.loadgen", "selftest", "-k", "nothing of this"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    assert "no proof has that in its name" in done.stderr
