"""What waits in a line: its order, its bounds, and who reads meanwhile."""

from __future__ import annotations

import random
from typing import Any

import pytest

from wsfast.line import Line


class Reading:
    """Whether it is read from an endpoint that is none, and who says so."""

    def __init__(self) -> None:
        self.halts: set[str] = set()
        self.log: list[str] = []

    def pause_reading(self, *, by: str) -> None:
        self.halts.add(by)
        self.log.append(f"pause {by}")

    def resume_reading(self, *, by: str) -> None:
        self.halts.discard(by)
        self.log.append(f"resume {by}")


def call(*details: Any) -> Any:
    return note, details


def note(ws: Any, *details: Any) -> None:
    raise AssertionError("a line calls nothing")


def filled(ws: Reading, count: int, *details: Any) -> Line:
    line = Line("handler")
    for _ in range(count):
        line.push(ws, call(*details))
    return line


def test_first_in_first_out() -> None:
    ws, line = Reading(), Line("handler")
    for number in range(5):
        line.push(ws, call(number))
    assert [line.pop(ws)[1] for _ in range(5)] == [(number,) for number in range(5)]
    assert len(line) == 0 and ws.log == []


def test_what_is_put_back_is_the_first_again() -> None:
    ws, line = Reading(), Line("handler")
    for number in range(3):
        line.push(ws, call(number))
    line.put_back(line.pop(ws))
    assert [line.pop(ws)[1] for _ in range(len(line))] == [(0,), (1,), (2,)]


@pytest.mark.parametrize(("count", "paused"), [(15, False), (16, True), (17, True)])
def test_reading_pauses_at_sixteen_calls(count: int, paused: bool) -> None:
    ws = Reading()
    line = filled(ws, count, "x")
    assert bool(ws.halts) is paused
    while len(line) > 5:
        line.pop(ws)
    assert bool(ws.halts) is paused
    line.pop(ws)
    assert not ws.halts


@pytest.mark.parametrize("kind", [str, bytes, memoryview])
def test_reading_pauses_at_128_kib(kind: type) -> None:
    raw = b"x" * 65_536
    message = raw.decode() if kind is str else kind(raw)
    ws = Reading()
    line = filled(ws, 1, message)
    assert not ws.halts
    line.push(ws, call(message))
    assert ws.halts == {"handler"}
    line.pop(ws)
    assert ws.halts, "64 KiB are more than 32"
    line.pop(ws)
    assert not ws.halts


@pytest.mark.parametrize("details", [(), (None,), (1006, "x" * 200_000)])
def test_only_a_payload_counts_for_its_size(details: tuple[Any, ...]) -> None:
    ws = Reading()
    filled(ws, 15, *details)
    assert not ws.halts


def test_who_asked_for_the_pause_ends_it_and_nobody_else() -> None:
    ws = Reading()
    first, second = Line("handler"), Line("credential")
    for _ in range(16):
        first.push(ws, call())
        second.push(ws, call())
    assert ws.halts == {"handler", "credential"}
    first.drop(ws)
    assert ws.halts == {"credential"}
    second.drop(ws)
    assert not ws.halts


def test_another_line_of_the_same_name_does_not_open_it_for_long() -> None:
    """Two gates, one behind the other: whatever one resumes, the next push pauses again."""
    ws = Reading()
    first, second = filled(ws, 16), filled(ws, 16)
    second.drop(ws)
    assert not ws.halts
    first.push(ws, call())
    assert ws.halts == {"handler"}


def test_dropping_keeps_the_calls_of_one_callback() -> None:
    def last(ws: Any, *details: Any) -> None:
        raise AssertionError

    ws = Reading()
    line = filled(ws, 20, "x")
    line.push(ws, (last, (1006, "")))
    line.drop(ws, but=last)
    assert not ws.halts and len(line) == 1
    assert line.pop(ws) == (last, (1006, ""))
    line.drop(ws, but=last)
    assert len(line) == 0


def test_dropping_what_never_paused_resumes_nothing() -> None:
    ws = Reading()
    filled(ws, 3).drop(ws)
    assert ws.log == []


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_its_size_is_what_is_in_it(seed: int) -> None:
    choose = random.Random(seed)
    ws, line, held = Reading(), Line("handler"), []
    for _ in range(500):
        if held and choose.random() < 0.5:
            taken = line.pop(ws)
            assert taken == held.pop(0)
            if choose.random() < 0.2:
                line.put_back(taken)
                held.insert(0, taken)
        else:
            one = call(b"x" * choose.choice([0, 1, 5000, 70_000]))
            line.push(ws, one)
            held.append(one)
        size = sum(len(each[1][0]) for each in held)
        if len(held) > 16 or size >= 128 * 1024 + 70_000:
            assert ws.halts
        if not held:
            assert not ws.halts
        assert len(line) == len(held)
