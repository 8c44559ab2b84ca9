"""The timing wheel against a sorted dictionary, and its corners one by one."""

from __future__ import annotations

import gc
import sys
from random import Random

import pytest

from sockets import SANITIZED, resident_bytes
from wsfast.wheel import SLOTS_PER_ROUND, TICK_SECONDS, Timed, Wheel

START = 1_000_000


def turned_wheel(tick: int = START) -> Wheel:
    """A wheel that has been advanced to `tick`."""
    wheel = Wheel()
    assert wheel.advance(tick) == []
    return wheel


def test_is_coarse_and_documented() -> None:
    assert TICK_SECONDS == 1 / 16
    assert SLOTS_PER_ROUND & (SLOTS_PER_ROUND - 1) == 0


def test_due_at_its_tick_not_before() -> None:
    wheel, timed = turned_wheel(), Timed()
    wheel.set_deadline(timed, START + 3)
    assert timed.deadline == START + 3
    assert wheel.advance(START + 2) == []
    assert wheel.advance(START + 3) == [timed]
    assert timed.deadline == 0
    assert wheel.advance(START + 4) == []


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_a_deadline_rounds_away_stays_for_its_round(rounds: int) -> None:
    wheel, timed = turned_wheel(), Timed()
    due = START + 5 + rounds * SLOTS_PER_ROUND
    wheel.set_deadline(timed, due)
    for tick in range(START + 1, due):
        assert wheel.advance(tick) == []
    assert wheel.advance(due) == [timed]


def test_a_new_deadline_replaces_the_old() -> None:
    wheel, timed = turned_wheel(), Timed()
    wheel.set_deadline(timed, START + 2)
    wheel.set_deadline(timed, START + 9)
    assert wheel.advance(START + 8) == []
    wheel.set_deadline(timed, START + 20)
    wheel.set_deadline(timed, START + 10)
    assert wheel.advance(START + 30) == [timed]


def test_a_cleared_deadline_never_comes() -> None:
    wheel, kept, cleared = turned_wheel(), Timed(), Timed()
    wheel.set_deadline(cleared, START + 2)
    wheel.set_deadline(kept, START + 2)
    wheel.clear_deadline(cleared)
    wheel.clear_deadline(cleared)
    assert cleared.deadline == 0
    assert wheel.advance(START + 2) == [kept]


def test_earliest_first_and_in_order_within_a_tick() -> None:
    wheel = turned_wheel()
    first, second, third, fourth = (Timed() for _ in range(4))
    wheel.set_deadline(third, START + 7)
    wheel.set_deadline(first, START + 6)
    wheel.set_deadline(fourth, START + 7)
    wheel.set_deadline(second, START + 6)
    assert wheel.advance(START + 7) == [first, second, third, fourth]


def test_a_passed_tick_means_the_next_one() -> None:
    wheel, timed = turned_wheel(), Timed()
    for tick in (0, START - 1, START):
        wheel.set_deadline(timed, tick)
        assert timed.deadline == START + 1
    assert wheel.advance(START + 1) == [timed]


def test_a_long_stall_fires_everything_once() -> None:
    wheel = turned_wheel()
    timed = [Timed() for _ in range(3 * SLOTS_PER_ROUND)]
    for number, each in enumerate(timed):
        wheel.set_deadline(each, START + 1 + number)
    due = wheel.advance(START + 10 * SLOTS_PER_ROUND)
    assert sorted(map(id, due)) == sorted(map(id, timed))
    assert wheel.advance(START + 20 * SLOTS_PER_ROUND) == []


def test_time_does_not_turn_back() -> None:
    wheel, timed = turned_wheel(), Timed()
    wheel.set_deadline(timed, START + 1)
    assert wheel.advance(START - 100) == []
    assert wheel.advance(START + 1) == [timed]


def test_next_wakeup_is_the_next_slot_in_use() -> None:
    wheel, near, far = turned_wheel(), Timed(), Timed()
    assert wheel.next_wakeup() == 0
    wheel.set_deadline(far, START + SLOTS_PER_ROUND + 3)
    assert wheel.next_wakeup() == START + 3  # the slot is in use, for a later round
    wheel.set_deadline(near, START + 2)
    assert wheel.next_wakeup() == START + 2
    wheel.clear_deadline(near)
    wheel.advance(START + 3)
    assert wheel.next_wakeup() == START + 3 + SLOTS_PER_ROUND
    wheel.clear_deadline(far)
    assert wheel.next_wakeup() == 0


def test_an_object_that_dies_leaves_the_wheel() -> None:
    wheel, kept = turned_wheel(), Timed()
    for tick in (START + 1, START + 2):
        wheel.set_deadline(Timed(), tick)  # dies at once: the wheel borrows
    before, after = Timed(), Timed()
    wheel.set_deadline(before, START + 2)
    wheel.set_deadline(kept, START + 2)
    wheel.set_deadline(after, START + 2)
    del before, after
    gc.collect()
    assert wheel.advance(START + 3) == [kept]


def test_a_wheel_lives_as_long_as_anything_has_a_deadline_on_it() -> None:
    timed = [Timed() for _ in range(5)]
    wheel = turned_wheel()
    before = sys.getrefcount(wheel)
    for number, each in enumerate(timed):
        wheel.set_deadline(each, START + 1 + number // 2)
        wheel.set_deadline(each, START + 2 + number // 2)
    assert sys.getrefcount(wheel) == before + 5
    wheel.clear_deadline(timed[0])
    assert wheel.advance(START + 2) == [timed[1]]
    del timed[4], each
    assert sys.getrefcount(wheel) == before + 2


def test_a_wheel_takes_over_from_another() -> None:
    timed, wheel, other = Timed(), turned_wheel(), turned_wheel()
    wheel.set_deadline(timed, START + 1)
    other.clear_deadline(timed)  # not its own
    assert timed.deadline == START + 1
    other.set_deadline(timed, START + 2)
    assert wheel.advance(START + 2) == []
    assert other.advance(START + 2) == [timed]


@pytest.mark.parametrize("seed", range(5))
def test_gaps_close_and_the_order_stays(seed: int) -> None:
    random = Random(seed)
    wheel, timed = turned_wheel(), [Timed() for _ in range(300)]
    order: dict[int, Timed] = {}
    for _ in range(5000):
        number = random.randrange(random.choice((10, 300)))
        if order.pop(number, None) is not None and random.random() < 0.7:
            wheel.clear_deadline(timed[number])
        else:
            wheel.set_deadline(timed[number], START + 1)
            order[number] = timed[number]
    assert 0 < len(order) < 300
    assert wheel.advance(START + 1) == list(order.values())
    assert wheel.next_wakeup() == 0


@pytest.mark.skipif(SANITIZED, reason="ASan keeps what is freed")
def test_deadlines_that_move_leave_no_memory_behind() -> None:
    wheel, first, timed, last = turned_wheel(), Timed(), Timed(), Timed()
    wheel.set_deadline(first, START + 1)
    wheel.set_deadline(timed, START + 1)
    wheel.set_deadline(last, START + 1)
    before = resident_bytes()
    for _ in range(1_000_000):
        wheel.set_deadline(timed, START + 1)
        wheel.set_deadline(first, START + 1)
    assert resident_bytes() - before < 1 << 20  # with its gaps it would be 16 MB
    assert wheel.advance(START + 1) == [last, timed, first]


@pytest.mark.skipif(SANITIZED, reason="ASan keeps what is freed")
@pytest.mark.parametrize("passes", [True, False], ids=["passed", "left"])
def test_large_slots_give_their_memory_back(passes: bool) -> None:
    wheel, timed = turned_wheel(), [Timed() for _ in range(1 << 14)]
    before = resident_bytes()
    for tick in range(START + 1, START + 401):
        for each in timed:
            wheel.set_deadline(each, tick)
        assert not passes or len(wheel.advance(tick)) == len(timed)
    assert resident_bytes() - before < 8 << 20  # if each slot kept its own it would be 51 MB


def test_the_end_of_time() -> None:
    wheel, timed, last = turned_wheel(), Timed(), Timed()
    wheel.set_deadline(last, 2**64 - 2)
    wheel.set_deadline(timed, 2**64 - 1)  # as the one before
    assert wheel.advance(2**64 - 3) == []
    assert wheel.advance(2**64 - 1) == [last, timed]
    wheel.set_deadline(timed, 5)
    wheel.clear_deadline(timed)
    assert wheel.advance(2**64 - 1) == []


def test_none_is_refused() -> None:
    with pytest.raises(TypeError):
        Wheel().set_deadline(None, 1)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        Wheel().set_deadline(Timed(), -1)


def run_against_model(steps: list[tuple[str, int, int]]) -> None:
    """Play the steps on a wheel and on a dictionary, and compare after each."""
    wheel, timed = turned_wheel(), [Timed() for _ in range(8)]
    numbers = {id(each): number for number, each in enumerate(timed)}
    model: dict[int, int] = {}
    now = START
    for what, number, ticks in steps:
        if what == "set":
            wheel.set_deadline(timed[number], now + ticks)
            model[number] = now + max(ticks, 1)
        elif what == "clear":
            wheel.clear_deadline(timed[number])
            model.pop(number, None)
        else:
            now += ticks
            due = {each for each, tick in model.items() if tick <= now}
            fired = [numbers[id(each)] for each in wheel.advance(now)]
            assert len(fired) == len(due) and set(fired) == due
            for each in due:
                del model[each]
        assert [each.deadline for each in timed] == [model.get(n, 0) for n in range(8)]
        wakeup = wheel.next_wakeup()
        assert bool(wakeup) == bool(model)
        assert not model or now < wakeup <= min(model.values())


def test_against_a_dictionary() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    ticks = st.one_of(st.integers(0, 20), st.integers(0, 4 * SLOTS_PER_ROUND))
    step = st.tuples(st.sampled_from(["set", "set", "clear", "advance"]), st.integers(0, 7), ticks)
    hypothesis.given(st.lists(step, max_size=60))(run_against_model)()
