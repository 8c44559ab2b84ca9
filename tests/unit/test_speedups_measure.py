"""The bench of a library: every workload in every state, in turns."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_library import Fake, fake_library
from wsfast.speedups import measure as module
from wsfast.speedups.library import Library
from wsfast.speedups.measure import STATES, Row, as_table, measure
from wsfast.speedups.target import Workload


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.0001)
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


def library(fake: Fake, *parts: Any, **told: Any) -> Library:
    return Library(fake.target(*parts, **told))


class Clock:
    """Goes on only by what is done: each call of a workload takes as long as it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)

    def work(self, seconds: Any) -> Any:
        def run() -> None:
            self.now += seconds()

        return run


def test_there_is_a_row_for_each_workload(fake: Fake) -> None:
    rows = measure(library(fake), rounds=2)
    assert [(each.library, each.name, each.size) for each in rows] == [
        ("fake-ws", "parse", 125),
        ("fake-ws", "mask", 16),
    ]
    for each in rows:
        assert len(each.seconds) == len(STATES) == 3
        assert len(each.ratios) == 2
        assert all(number > 0 for number in (*each.seconds, *each.ratios))


def test_every_state_is_measured_in_turns(fake: Fake) -> None:
    seen: list[set[str]] = []

    def workloads() -> Any:
        seen.append(fake.replaced)
        return [Workload(name="nothing", size=0, run=lambda: None)]

    measure(library(fake, workloads=workloads), rounds=3)
    assert [len(each) for each in seen] == [0, 2, 5] * 3


def test_the_library_is_left_unpatched(fake: Fake) -> None:
    fake.write("99.0")  # a version that install() would not take
    measured = library(fake)
    measure(measured, rounds=1)
    assert fake.selftests
    assert not fake.replaced
    assert measured.wish is None


def test_the_library_is_left_unpatched_after_an_error(fake: Fake) -> None:
    def run() -> None:
        if fake.replaced:
            raise OSError("of the workload")

    measured = library(fake, workloads=lambda: [Workload(name="fails", size=0, run=run)])
    with pytest.raises(OSError, match="of the workload"):
        measure(measured, rounds=1)
    assert not fake.replaced
    assert gc.isenabled()


def test_figures_are_medians_per_frame(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    calls = iter(range(10**9))

    def seconds() -> float:
        slow = 8 if next(calls) in (50, 51) else 1  # a stall is no part of a median
        return slow * {0: 0.004, 2: 0.002, 5: 0.001}[len(fake.replaced)]

    works = [Workload(name="four", size=125, run=clock.work(seconds), frames=4)]
    (row,) = measure(library(fake, workloads=lambda: works), rounds=11)
    assert row.seconds == pytest.approx((0.001, 0.0005, 0.00025))
    assert row.ratios == pytest.approx((2, 4))


def test_a_sample_holds_as_many_calls_as_fill_it(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.002)
    clock = Clock(monkeypatch)
    counts = {"quick": 0, "slow": 0}

    def seconds(name: str, each: float) -> Any:
        def one() -> float:
            counts[name] += 1
            return each

        return one

    works = [
        Workload(name="quick", size=0, run=clock.work(seconds("quick", 0.0001))),
        Workload(name="slow", size=0, run=clock.work(seconds("slow", 0.5))),
    ]
    measure(library(fake, workloads=lambda: works), rounds=1)
    assert counts["slow"] == 3 * (2 + 1)
    assert 3 * (2 + 19) <= counts["quick"] <= 3 * (2 + 20)


def test_a_sample_is_not_interrupted_by_the_collector(fake: Fake) -> None:
    states: list[bool] = []
    works = [Workload(name="look", size=0, run=lambda: states.append(gc.isenabled()))]
    measure(library(fake, workloads=lambda: works), rounds=1)
    assert not states[-1]
    assert gc.isenabled()
    gc.disable()
    try:
        measure(library(fake), rounds=1)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_part_that_cannot_be_imported_is_left_out(fake: Fake) -> None:
    absent = fake.part("nowhere")
    rows = measure(library(fake, absent, fake.part()), rounds=1)
    assert len(rows) == 2


def test_a_library_that_cannot_be_imported_is_an_import_error(fake: Fake) -> None:
    fake.write_module("frames.py", "import no_such_module_anywhere\n")
    with pytest.raises(ImportError, match="no_such_module_anywhere"):
        measure(library(fake), rounds=1)


def test_the_table_has_microseconds_and_ratios() -> None:
    rows = [
        Row("fake-ws", "parse", 125, (12.5e-6, 5e-6, 2.5e-6), (2.5, 5.0)),
        Row("other-ws", "a name", 65536, (1e-3, 1e-3, 1e-6), (1.0, 1000.0)),
    ]
    head, *lines = as_table(rows).splitlines()
    assert head.split() == "us a frame plain kernels frames times as fast".split()
    assert [each.split() for each in lines] == [
        "fake-ws parse 125 12.50 5.00 2.50 2.50 / 5.00".split(),
        "other-ws a name 65536 1000.00 1000.00 1.00 1.00 / 1000.00".split(),
    ]
    assert len(as_table([]).splitlines()) == 1
