"""How many connections fit: the limit is raised, and what is open is counted."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

resource = pytest.importorskip("resource", reason="this platform has no descriptor limits")

from wsfast.descriptors import open_descriptors, raise_descriptor_limit  # noqa: E402


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """Soft and hard limit, put back at the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_becomes_the_hard_one(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(256, open_descriptors() + 64), hard))
    assert raise_descriptor_limit() == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    assert raise_descriptor_limit() == hard


def test_a_limit_that_cannot_be_raised_is_what_holds(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))

    def refuse(*args: object) -> None:
        raise ValueError("not permitted")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == 300
    monkeypatch.undo()


def test_open_descriptors_counts_without_its_own() -> None:
    gc.collect()  # what other tests left is not closed in between
    before = open_descriptors()
    reading, writing = os.pipe()
    assert open_descriptors() == before + 2
    os.close(reading)
    os.close(writing)
    assert open_descriptors() == before
