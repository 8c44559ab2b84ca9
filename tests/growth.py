"""How a cost grows with the length of what it is for: told apart on a machine that is not calm."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["LONGER", "assert_linear", "quickest"]

#: The long one is so many times longer: as much dearer if the cost is linear, and the square of it
#: if it is quadratic. What is asserted lies in the middle, so each may err by a factor of four.
LONGER = 16

#: Of each length so many are measured, in turn: a phase in which all is slow meets both.
ROUNDS = 7


def quickest(call: Callable[[], object]) -> float:
    """CPU seconds of the quickest of a few calls; a stall may count as work of one of them."""

    def once() -> float:
        started = time.thread_time()
        call()
        return time.thread_time() - started

    return min(once() for _ in range(ROUNDS))


def assert_linear(seconds: Callable[[int], float], length: int) -> None:
    """The cost of LONGER times the length is LONGER times the cost, not the square of that.

    Args:
        seconds: the cost of a length; called again and again.
        length: of the short one.
    """
    short = long = float("inf")
    for _ in range(ROUNDS):
        short = min(short, seconds(length))
        long = min(long, seconds(LONGER * length))
    assert long < LONGER**1.5 * short, (length, short, long)
