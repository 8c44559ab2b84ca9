"""The policies by name, and an empty backlog; what it holds is tested in test_messaging."""

from __future__ import annotations

import pytest

from wsfast.backlog import POLICIES, Backlog


def test_policies() -> None:
    assert list(POLICIES) == ["wait", "close", "drop-oldest", "newest-per-key"]
    assert len(set(POLICIES.values())) == 4


def test_a_new_backlog_is_empty() -> None:
    backlog = Backlog()
    assert len(backlog) == 0 and backlog.bytes == 0


def test_its_size_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        Backlog().bytes = 5  # type: ignore[misc]
