"""What a ready event costs: streams and files of EpollSelector beside selectors.EpollSelector.

    python -m bench.bench_selector

All candidates wait for the same eventfds, which are readable all the time, so that the kernel
does the same work for each of them. Its part is in every figure; `epoll_wait` is that part alone,
called through ctypes, which only shows when few are ready. A turn is one select(0).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import selectors
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

from bench.interleave import Row, interleave, row, table, timed
from wsfast.callback import CallbackStream
from wsfast.selector import EpollSelector

__all__ = ["candidates", "main", "measure", "rows"]

READ = selectors.EVENT_READ
#: Ready events in one turn: one connection at a time, a busy server, a full batch.
COUNTS = (1, 100, 1000)


def ignore(events: int) -> None:
    """The Python callback of a stream."""


def call_back(selector: selectors.BaseSelector) -> None:
    """A turn as a program over selectors writes it: the callback is the data of the key."""
    for key, events in selector.select(0):
        key.data(events)


@contextlib.contextmanager
def readable(count: int) -> Iterator[list[int]]:
    """So many eventfds that have been counted up."""
    numbers = [os.eventfd(1) for _ in range(count)]
    try:
        yield numbers
    finally:
        for number in numbers:
            os.close(number)


def files(selector: selectors.BaseSelector, numbers: list[int]) -> selectors.BaseSelector:
    """The selector, with all of them registered as files."""
    for number in numbers:
        selector.register(number, READ, ignore)
    return selector


def bare_wait(kernel: select.epoll, count: int) -> Callable[[int], int]:
    """epoll_wait into a buffer that nobody reads."""
    function = ctypes.CDLL(None).epoll_wait
    number, size = kernel.fileno(), max(count, 1024)
    events = ctypes.create_string_buffer(16 * size)
    return lambda timeout: function(number, events, size, timeout)


@contextlib.contextmanager
def candidates(numbers: list[int]) -> Iterator[dict[str, tuple[Callable[..., Any], Any]]]:
    """Per name a function and its argument; one call is one turn."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(EpollSelector())
        called = stack.enter_context(EpollSelector())
        ours = stack.enter_context(EpollSelector())
        theirs = stack.enter_context(selectors.EpollSelector())
        kernel = stack.enter_context(select.epoll())
        for number in numbers:
            CallbackStream(silent, number, READ)
            CallbackStream(called, number, READ, ignore)
            kernel.register(number, select.EPOLLIN)
        yield {
            "stream": (silent.select, 0),
            "stream, Python callback": (called.select, 0),
            "file": (files(ours, numbers).select, 0),
            "file, Python callback": (call_back, ours),
            "selectors": (files(theirs, numbers).select, 0),
            "selectors, Python callback": (call_back, theirs),
            "select.epoll": (kernel.poll, 0),
            "epoll_wait": (bare_wait(kernel, len(numbers)), 0),
        }


def check(count: int) -> None:
    """Each candidate sees all events of a turn, streams by a callback each."""
    seen: list[int] = []
    with readable(count) as numbers, EpollSelector() as selector:
        for number in numbers:
            CallbackStream(selector, number, READ, seen.append)
        assert selector.select(0) == [] and seen == [READ] * count
    with readable(count) as numbers, candidates(numbers) as found:
        for name in ("file", "selectors", "select.epoll"):
            function, argument = found[name]
            assert len(function(argument)) == count, name
        function, argument = found["epoll_wait"]
        assert function(argument) == count


def measure(count: int, seconds: float) -> dict[str, list[float]]:
    """Seconds per event of every candidate, one figure per round."""
    check(count)
    with readable(count) as numbers, candidates(numbers) as found:
        samples = interleave(
            {name: timed(function, argument) for name, (function, argument) in found.items()},
            seconds=seconds,
        )
    return {name: [each / count for each in values] for name, values in samples.items()}


def rows(count: int, samples: dict[str, list[float]]) -> Iterator[Row]:
    """The lines of the table for so many ready events a turn."""
    title = f"{count} ready"
    if count > 1:
        yield row(f"{title}: stream / epoll_wait alone", samples, "stream", "epoll_wait", "<= 1.2")
    yield row(f"{title}: selectors / stream", samples, "selectors", "stream", ">= 2")
    called = "selectors, Python callback", "stream, Python callback"
    yield row(f"{title}: the same with a Python callback", samples, *called, ">= 2")
    yield row(f"{title}: selectors / file", samples, "selectors", "file", ">= 1.5")


def main() -> int:
    """Print the table; 1 if a target was missed."""
    if not hasattr(select, "epoll"):
        print("bench_selector: left out, this platform has no epoll")
        return 0
    measured = {count: measure(count, seconds=4.0) for count in COUNTS}
    for count, samples in measured.items():
        print(f"nanoseconds per event, {count} ready:")
        for name, values in samples.items():
            print(f"  {name:30} {statistics.median(values) * 1e9:8.1f}")
    lines = (line for count, samples in measured.items() for line in rows(count, samples))
    return 0 if table("selector", lines) else 1


if __name__ == "__main__":
    sys.exit(main())
