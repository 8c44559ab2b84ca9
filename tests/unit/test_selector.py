"""EpollSelector as a selector: what select() returns, deadlines, and calls of other threads."""

from __future__ import annotations

import gc
import random
import selectors
import socket
import sys
import threading
import time
import weakref

import pytest

from backends import drain_socket, full_socket, socket_pair
from wsfast.callback import CallbackStream
from wsfast.selector import EpollSelector, Stream, Timer
from wsfast.wheel import SLOTS_PER_ROUND, TICK_SECONDS

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


Pair = tuple[socket.socket, socket.socket]


def run_until(selector: EpollSelector, done: list[object], count: int = 1) -> None:
    """Turn the loop until `done` has so many entries, at most for half a minute."""
    limit = time.monotonic() + 30
    while len(done) < count and time.monotonic() < limit:
        assert selector.select(1) == []
    assert len(done) == count


def test_is_a_selector_of_the_standard_library(selector: EpollSelector) -> None:
    assert isinstance(selector, selectors.BaseSelector)
    assert issubclass(EpollSelector, selectors.BaseSelector)
    assert not isinstance(object(), selectors.BaseSelector)


def test_select_reports_what_is_ready(selector: EpollSelector, pair: Pair) -> None:
    selector.register(pair[0], READ)
    key = selector.register(pair[1], WRITE)
    assert selector.select() == [(key, WRITE)]


def test_read_and_write_come_in_one_entry(selector: EpollSelector, pair: Pair) -> None:
    pair[1].send(b"x")
    key = selector.register(pair[0], READ | WRITE)
    assert selector.select() == [(key, READ | WRITE)]


def test_only_what_was_asked_for_is_reported(selector: EpollSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ)
    pair[1].close()  # hang-up: epoll has more to say than was asked
    assert selector.select(1) == [(key, READ)]
    selector.modify(pair[0], WRITE)
    assert [events for _, events in selector.select(1)] == [WRITE]


def test_it_is_level_triggered(selector: EpollSelector, pair: Pair) -> None:
    selector.register(pair[0], READ)
    pair[1].send(b"xy")
    assert len(selector.select(1)) == len(selector.select(1)) == 1
    drain_socket(pair[0])
    assert selector.select(0) == []


def test_writable_again_when_the_peer_reads(selector: EpollSelector, pair: Pair) -> None:
    sent = full_socket(pair[0])
    key = selector.register(pair[0], WRITE)
    assert selector.select(0) == []
    assert drain_socket(pair[1]) == sent
    assert selector.select(1) == [(key, WRITE)]


def test_readers_and_writers_by_turns(selector: EpollSelector) -> None:
    pairs = [socket_pair() for _ in range(12)]
    peers = {right: left for left, right in pairs}
    for left, right in pairs:
        selector.register(left, READ)
        selector.register(right, WRITE)
    shuffle = random.Random(1)
    while peers:
        writable = [key.fileobj for key, events in selector.select(1) if events & WRITE]
        assert sorted(map(id, writable)) == sorted(map(id, peers))
        writer = shuffle.choice(writable)
        writer.send(b"This is a test.")
        reader = peers.pop(writer)
        readable = [key.fileobj for key, events in selector.select(1) if events & READ]
        assert readable == [reader]
        assert reader.recv(100) == b"This is a test."
        selector.unregister(reader)
        selector.unregister(writer)
    for left, right in pairs:
        left.close()
        right.close()


def test_now_is_the_time_of_the_last_wait(selector: EpollSelector) -> None:
    before = time.monotonic_ns()
    selector.select(0.01)
    assert before + 10_000_000 <= selector.now_ns <= time.monotonic_ns()


@pytest.mark.parametrize("seconds", [0, 0.01, TICK_SECONDS, 0.15])
def test_a_call_comes_in_time_and_never_early(selector: EpollSelector, seconds: float) -> None:
    done: list[float] = []
    start = time.monotonic()
    timer = selector.call_later(seconds, lambda: done.append(time.monotonic()))
    assert isinstance(timer, Timer) and timer.active and timer.fd == -1
    run_until(selector, done)
    assert start + seconds <= done[0] < start + seconds + 25
    assert not timer.active
    assert selector.select(2 * TICK_SECONDS) == [] and len(done) == 1


def test_calls_come_in_order(selector: EpollSelector) -> None:
    done: list[object] = []
    asked = {
        number: selector.call_later(seconds, done.append, number)
        for number, seconds in ((3, 0.13), (1, 0), (2, 0), (2.5, -5))
    }
    # 1, 2, 2.5, 3; unless a pause in between made the first one due with or before the others.
    expected = sorted(asked, key=lambda number: asked[number].deadline)
    run_until(selector, done, 4)
    assert done == expected


def test_a_cancelled_call_never_comes(selector: EpollSelector) -> None:
    done: list[object] = []
    timer = selector.call_later(0, done.append, "cancelled")
    selector.call_later(TICK_SECONDS, done.append, "kept")
    timer.cancel()
    timer.cancel()
    assert not timer.active
    run_until(selector, done)
    assert done == ["kept"]


def test_callbacks_may_cancel_and_set_calls(selector: EpollSelector) -> None:
    done: list[object] = []

    def first() -> None:
        done.append("first")
        own.cancel()
        other.cancel()
        selector.call_later(0, done.append, "next")

    own = selector.call_later(0.01, first)
    other = selector.call_later(0.01, done.append, "other")
    if own.deadline != other.deadline:
        pytest.skip("the clock ticked between the two")
    run_until(selector, done, 2)
    assert done == ["first", "next"]


def test_a_stall_fires_each_call_once(selector: EpollSelector) -> None:
    done: list[object] = []
    for number in range(50):
        selector.call_later(number / 400, done.append, number)
    limit = time.monotonic() + 4 * TICK_SECONDS
    while time.monotonic() < limit:  # the application is busy elsewhere
        pass
    run_until(selector, done, 50)
    assert done == sorted(done, key=int)
    assert selector.select(2 * TICK_SECONDS) == []
    assert len(done) == 50


def test_a_far_deadline_does_not_disturb(selector: EpollSelector) -> None:
    done: list[object] = []
    timer = selector.call_later(3 * SLOTS_PER_ROUND * TICK_SECONDS, done.append, 1)
    forever = selector.call_later(float("inf"), done.append, 2)
    assert selector.select(2 * TICK_SECONDS) == [] and not done
    assert timer.active and forever.active
    selector.call_later(0, done.append, 3)
    run_until(selector, done)
    assert done == [3]


def test_a_call_that_raises_leaves_the_others(selector: EpollSelector) -> None:
    done: list[object] = []
    for _ in range(3):
        selector.call_later(0, done.append, 1)
    selector.call_later(0, int, "no number")
    for _ in range(3):
        selector.call_later(0, done.append, 2)
    with pytest.raises(ValueError, match="no number"):
        run_until(selector, done, 7)
    run_until(selector, done, 6)


def test_deadlines_that_are_none(selector: EpollSelector) -> None:
    with pytest.raises(ValueError, match="not a number"):
        selector.call_later(float("nan"), int)
    selector.close()
    with pytest.raises(ValueError, match="closed"):
        selector.call_later(1, int)


def test_close_takes_the_calls_along(selector: EpollSelector) -> None:
    timer = selector.call_later(10, int)
    selector.close()
    assert not timer.active and timer.deadline == 0
    timer.cancel()


def test_calls_of_other_threads(selector: EpollSelector) -> None:
    done: list[object] = []
    me = threading.get_ident()

    def called(number: int) -> None:
        assert threading.get_ident() == me
        done.append(number)

    def work(start: int) -> None:
        for number in range(start, start + 100):
            selector.call_threadsafe(called, number)

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    run_until(selector, done, 400)
    for thread in threads:
        thread.join()
    assert sorted(done, key=int) == list(range(400))
    for part in range(4):  # in order for each thread
        own = [number for number in done if int(number) // 100 == part]  # type: ignore[call-overload]
        assert own == sorted(own, key=int)


def test_a_thread_ends_a_wait(selector: EpollSelector) -> None:
    done: list[object] = []
    thread = threading.Timer(0.02, selector.call_threadsafe, (done.append, 1))
    thread.start()
    start = time.monotonic()
    assert selector.select() == [] and done == [1]
    assert time.monotonic() - start < 25
    thread.join()


def test_a_call_may_call_again_next_turn(selector: EpollSelector) -> None:
    done: list[object] = []

    def again() -> None:
        done.append(len(done))
        selector.call_threadsafe(again)

    selector.call_threadsafe(again)
    for turn in range(1, 4):
        assert selector.select(1) == [] and len(done) == turn


def test_a_threads_call_that_raises_leaves_the_others(selector: EpollSelector) -> None:
    done: list[object] = []
    selector.call_threadsafe(int, "no number")
    selector.call_threadsafe(done.append, 1)
    with pytest.raises(ValueError, match="no number"):
        selector.select(1)
    run_until(selector, done)


def test_calls_to_a_closed_selector(selector: EpollSelector) -> None:
    done: list[object] = []
    selector.call_threadsafe(selector.close)
    selector.call_threadsafe(done.append, "lost")
    assert selector.select(1) == [] and selector.closed and not done
    with pytest.raises(RuntimeError, match="Selector is closed"):
        selector.call_threadsafe(done.append, 1)


def test_select_is_not_re_entrant(selector: EpollSelector) -> None:
    selector.call_threadsafe(selector.select, 0)
    with pytest.raises(RuntimeError, match="at work"):
        selector.select(1)
    assert not selector.dispatching and selector.select(0) == []


def test_two_threads_cannot_select_at_once(selector: EpollSelector) -> None:
    """Whoever comes second is refused, and the other one waits on."""
    refused: list[int] = []

    limit = time.monotonic() + 30

    def intrude(timeout: float) -> None:
        while not refused and time.monotonic() < limit:
            try:
                assert selector.select(timeout) == []
            except RuntimeError:
                refused.append(threading.get_ident())
        selector.wakeup()

    thread = threading.Thread(target=intrude, args=(0,))
    thread.start()
    intrude(5)
    thread.join()
    assert refused in ([threading.get_ident()], [thread.ident])


def test_a_selector_is_garbage_when_forgotten() -> None:
    selector = EpollSelector()
    left, right = socket_pair()
    selector.register(left, READ, selector)
    timer = selector.call_later(60, int, selector)
    gone = weakref.ref(selector)
    del selector
    gc.collect()
    assert gone() is not None  # the timer holds it
    del timer
    gc.collect()
    assert gone() is None
    left.close()
    right.close()


def test_a_plain_stream_is_inert() -> None:
    stream = Stream()
    assert stream.fd == -1 and stream.deadline == 0
    assert not Timer().active
    Timer().cancel()


def test_calls_leave_no_memory_behind(selector: EpollSelector) -> None:
    def churn(count: int) -> None:
        for _ in range(count):
            selector.call_later(5, int).cancel()

    churn(2_000)
    gc.collect()
    before = sys.getallocatedblocks()
    churn(50_000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 200


def test_a_host_is_told_what_flush_has_to_do(selector: EpollSelector) -> None:
    """Of turn ends that are asked for outside of select() only: it looks after the others."""
    told: list[str] = []
    again: list[str] = []

    def turn_end() -> None:
        if not again:
            again.append("once")
            first.at_turn_end()

    first = CallbackStream(selector, -1, on_turn_end=turn_end)
    second = CallbackStream(selector, -1)
    selector.flush_soon = lambda: told.append("told")
    first.at_turn_end()
    first.at_turn_end()
    second.at_turn_end()
    assert told == ["told"] * 2
    selector.flush()
    assert again == ["once"] and told == ["told"] * 2
    selector.call_threadsafe(first.at_turn_end)
    selector.select(1)
    assert told == ["told"] * 2
    selector.flush_soon = None
    first.at_turn_end()
    selector.flush()
    assert told == ["told"] * 2
    first.remove()
    second.remove()
