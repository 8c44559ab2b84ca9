"""The golden file of the conformance run, and the comparison that holds results against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from beside import beside

HERE = Path(__file__).resolve().parent


@pytest.fixture
def run() -> Iterator[ModuleType]:
    with beside(HERE, "run") as module:
        yield module


def test_every_case_is_ok_but_the_informational(run: ModuleType) -> None:
    expected = run.load_expected()
    assert len(expected) == 301
    others = {case: row for case, row in expected.items() if row["behavior"] != "OK"}
    assert set(others) == {"7.1.6", "7.13.1", "7.13.2"}
    assert {row["behavior"] for row in others.values()} == {"INFORMATIONAL"}


def test_an_exception_needs_a_reason(run: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "expected.json"
    path.write_text(json.dumps({"1.1.1": {"behavior": "NON-STRICT", "behaviorClose": "OK"}}))
    with pytest.raises(ValueError, match=r"1\.1\.1 is an exception without a reason"):
        run.load_expected(path)


@pytest.mark.parametrize(
    ("patterns", "count"),
    [("all", 301), ("core", 247), ("limits", 54), ("1.*", 16), ("1.1.1,9.3.*", 10), ("12.*", 0)],
)
def test_cases_are_selected(run: ModuleType, patterns: str, count: int) -> None:
    assert len(run.select_cases(run.load_expected(), patterns)) == count


OK = {"behavior": "OK", "behaviorClose": "OK"}
UNJUDGED = {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL", "reason": "unjudged"}


@pytest.mark.parametrize(
    ("wanted", "got", "wrong"),
    [
        (OK, {**OK, "duration": 3}, None),
        (UNJUDGED, UNJUDGED, None),
        (OK, {**OK, "behavior": "NON-STRICT"}, "expected OK/OK, got NON-STRICT/OK"),
        (OK, {**OK, "behaviorClose": "UNCLEAN"}, "expected OK/OK, got OK/UNCLEAN"),
        (UNJUDGED, OK, "expected INFORMATIONAL/INFORMATIONAL, got OK/OK"),
        (OK, None, "expected OK/OK, got MISSING/MISSING"),
    ],
    ids=["as expected", "unjudged", "worse", "close worse", "better", "missing"],
)
def test_comparison(
    run: ModuleType,
    wanted: dict[str, str],
    got: dict[str, object] | None,
    wrong: str | None,
) -> None:
    results = {} if got is None else {"1.1.1": got}
    found = run.compare({"1.1.1": wanted}, ["1.1.1"], results)
    assert found == ({} if wrong is None else {"1.1.1": wrong})
