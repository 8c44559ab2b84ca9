"""What the tests of several modules start from."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from backends import BACKENDS, selector_over, socket_pair
from guarded import Guarded, available
from wsfast import cpu
from wsfast.selector import EpollSelector

__all__ = ["level", "pages", "pair", "selector"]


@pytest.fixture(params=BACKENDS)
def selector(request: pytest.FixtureRequest) -> Iterator[EpollSelector]:
    """A selector over each backend that this platform has."""
    yield from selector_over(request)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that do not block."""
    left, right = socket_pair()
    with left, right:
        yield left, right


@pytest.fixture(params=cpu.cpu_levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once per CPU level of this machine, and puts the best one back."""
    before = cpu.cpu_level()
    cpu.set_cpu_level(request.param)
    yield request.param
    cpu.set_cpu_level(before)


@pytest.fixture(scope="module")
def pages() -> tuple[Guarded, Guarded]:
    """Two blocks between pages that must not be touched."""
    if not available():
        pytest.skip("pages cannot be protected on this platform")
    return Guarded(), Guarded()
