"""wsfast.loadgen.measurement: workers as many as needed; plans are in test_loadgen_command.py."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "rich"):
    pytest.importorskip(package)
measurement = pytest.importorskip("wsfast.loadgen.measurement")

from wsfast.loadgen.coordinator import CouldNotRun  # noqa: E402
from wsfast.loadgen.plan import SPARE_DESCRIPTORS  # noqa: E402


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    """A process may hold a thousand connections."""
    monkeypatch.setattr(measurement, "raise_descriptor_limit", lambda: 1000 + SPARE_DESCRIPTORS)


@pytest.mark.parametrize(
    ("connections", "asked", "workers"),
    [(1, None, 1), (1000, None, 1), (1001, None, 2), (10, 4, 4), (2000, 2, 2)],
)
def test_workers(connections, asked, workers):
    assert measurement.choose_workers(connections, {"workers": asked}) == workers


def test_too_few_workers():
    with pytest.raises(CouldNotRun, match=r"2 worker\(s\) cannot hold 2,001 .* use -w 3"):
        measurement.choose_workers(2001, {"workers": 2})
