"""Coroutines in line: order, pausing, failing, and the end; over an endpoint that is none."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from typing import Any

import pytest

from in_line import FakeEndpoint, Handler, Stubborn, in_loop, whole
from wsfast.auth import Authenticated
from wsfast.tasks import Tasks


def test_only_what_the_handler_has_is_there() -> None:
    async def main(tasks: Tasks) -> None:
        in_line: Any = tasks.in_line(Handler())
        assert callable(in_line.on_message) and callable(in_line.on_close)
        assert not hasattr(in_line, "on_ping") and not hasattr(in_line, "on_drain")

    in_loop(main)


def test_a_sync_callback_is_called_at_once() -> None:
    async def main(tasks: Tasks) -> None:
        handler = Handler()
        in_line: Any = tasks.in_line(handler)
        in_line.on_open(FakeEndpoint())
        assert handler.log == ["open"] and len(tasks) == 0

    in_loop(main)


def test_in_wire_order_one_at_a_time() -> None:
    async def main(tasks: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        for message in range(5):
            in_line.on_message(ws, message)
        in_line.on_open(ws)  # a sync one waits like the others
        in_line.on_close(ws, 1000, "")
        await asyncio.sleep(0)
        assert handler.log == [("begin", 0)]
        handler.gate.set()
        await tasks.finish(5)
        assert handler.log == [*whole(*range(5)), "open", ("close", 1000)]
        assert in_line._waiting == {}, "nothing is kept for an idle connection"

    in_loop(main)


def test_connections_are_independent() -> None:
    async def main(tasks: Tasks) -> None:
        handler = Handler()
        in_line: Any = tasks.in_line(handler)
        for message in range(5):
            in_line.on_message(FakeEndpoint(), message)
        await asyncio.sleep(0)
        assert handler.log == [("begin", message) for message in range(5)]
        handler.gate.set()
        await tasks.finish(5)

    in_loop(main)


@pytest.mark.parametrize("count", [1, 16, 17, 1000])
def test_reading_pauses_above_a_bound_and_goes_on(count: int) -> None:
    async def main(tasks: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        for message in range(count):
            in_line.on_message(ws, message)
        assert ws.log == (["pause"] if count > 16 else [])
        handler.gate.set()
        await tasks.finish(5)
        assert handler.log == whole(*range(count))
        assert "pause" not in ws.log or ws.log == ["pause", "resume"]

    in_loop(main)


@pytest.mark.parametrize("kind", [str, bytes, memoryview])
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_bytes_count_as_well(kind: type, count: int) -> None:
    raw = b"x" * 70_000
    message = raw.decode() if kind is str else kind(raw)

    async def main(tasks: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        for _ in range(count):
            in_line.on_message(ws, message)
        assert ws.log == (["pause"] if count > 2 else [])
        handler.gate.set()
        await tasks.finish(5)
        assert len(handler.log) == 2 * count
        assert ws.log == (["pause", "resume"] if count > 2 else [])

    in_loop(main)


@pytest.mark.parametrize(
    ("message", "error"), [("raise", "ValueError"), ("cancel", "RuntimeError")]
)
def test_an_exception_fails_the_connection_once(
    message: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(tasks: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        ws.on_fail = lambda: in_line.on_close(ws, 1011, "")
        for each in (message, "dropped", "dropped"):
            in_line.on_message(ws, each)
        handler.gate.set()
        await tasks.finish(5)
        assert handler.log == [("begin", message), ("close", 1011)]
        assert ws.log == [f"fail {error}"]

    in_loop(main)
    assert len(caplog.records) == 1


def test_an_exception_behind_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """on_close waits in line already: it comes, and comes once."""

    async def main(tasks: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        in_line.on_message(ws, "raise")
        in_line.on_message(ws, "dropped")
        in_line.on_close(ws, 1006, "")
        handler.gate.set()
        await tasks.finish(5)
        assert handler.log == [("begin", "raise"), ("close", 1006)]

    in_loop(main)
    assert len(caplog.records) == 1


def test_an_exception_of_a_sync_callback_in_line(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Handler):
        def on_open(self, ws: Any) -> None:
            raise KeyError

    async def main(tasks: Tasks) -> None:
        handler, ws = Raising(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        with pytest.raises(KeyError):
            in_line.on_open(ws)  # not in line: the engine deals with it
        in_line.on_message(ws, 1)
        in_line.on_open(ws)
        handler.gate.set()
        await tasks.finish(5)
        assert ws.log == ["fail KeyError"]

    in_loop(main)
    assert len(caplog.records) == 1


def test_what_hangs_is_cancelled_and_on_close_still_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(tasks: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        in_line.on_message(ws, "hangs")
        in_line.on_message(ws, "never")
        in_line.on_close(ws, 1001, "")
        await tasks.finish(0.05)
        assert handler.log == [("begin", "hangs"), ("close", 1001)]

    in_loop(main)
    assert not caplog.records


def test_an_on_close_that_hangs_is_cancelled_too(caplog: pytest.LogCaptureFixture) -> None:
    class Hanging(Handler):
        async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
            self.log.append("closing")
            await asyncio.Event().wait()

    async def main(tasks: Tasks) -> None:
        handler, ws = Hanging(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        in_line.on_message(ws, "hangs")
        in_line.on_close(ws, 1001, "")
        await tasks.finish(0.05)
        assert handler.log == [("begin", "hangs"), "closing"]

    in_loop(main)


def test_at_the_end_nothing_new_begins_behind_who_ignores_a_cancellation() -> None:
    """Or each message that waits would cost the end another second, and go on behind it."""

    async def main(tasks: Tasks) -> None:
        handler, ws = Stubborn(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        for _ in range(20):
            in_line.on_message(ws, "returns")
        in_line.on_close(ws, 1001, "")
        await tasks.finish(0.05)
        assert handler.log == [("begin", "returns"), ("cancelled", "returns"), ("close", 1001)]

    in_loop(main)


def test_who_has_no_coroutines_is_not_in_line() -> None:
    class Plain:
        def on_message(self, ws: Any, message: Any) -> None:
            """Nothing to await."""

    async def main(tasks: Tasks) -> None:
        handler = Plain()
        assert tasks.in_line(handler) is handler
        gate = Authenticated(handler, verify={}.get)
        made = tasks.in_line(gate)
        assert isinstance(made, Authenticated) and made is not gate
        assert made.handler is handler and made._tasks is tasks

    in_loop(main)


# --- what never begins ---------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True])
def test_what_is_cancelled_before_it_begins(
    closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As asyncio.run does at its end; on_close comes, and nothing stays behind."""

    async def main(tasks: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        in_line.on_message(ws, "never")
        in_line.on_message(ws, "dropped")
        if closed:
            in_line.on_close(ws, 1006, "")
        else:
            ws.on_fail = lambda: in_line.on_close(ws, 1011, "")
        [task] = tasks._running
        task.cancel()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await tasks.finish(5)
            gc.collect()
        assert handler.log == [("close", 1006 if closed else 1011)]
        assert ws.log == ["fail RuntimeError"] and in_line._waiting == {}

    in_loop(main)
    assert len(caplog.records) == 1


def test_on_a_closed_loop_it_raises_and_leaves_nothing() -> None:
    loop = asyncio.new_event_loop()
    tasks = Tasks(loop)
    handler, ws = Handler(), FakeEndpoint()
    in_line: Any = tasks.in_line(handler)
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="closed"):
            in_line.on_message(ws, 1)
        gc.collect()
    assert in_line._waiting == {} and not len(tasks)


@pytest.mark.parametrize("when", range(6))
def test_cancelled_at_each_await_it_goes_on_to_the_end(when: int) -> None:
    """Of all tasks by somebody else, again and again."""

    class Slow(Handler):
        async def on_message(self, ws: Any, message: Any) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            self.log.append(message)

    async def main(tasks: Tasks) -> None:
        handler, ws = Slow(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler)
        ws.on_fail = lambda: None if len(ws.log) > 1 else in_line.on_close(ws, 1011, "")
        for message in range(2):
            in_line.on_message(ws, message)
        for _ in range(when):
            await asyncio.sleep(0)
        for task in list(tasks._running):
            task.cancel()
        await tasks.finish(5)
        assert ws.log == ["fail RuntimeError"]
        assert handler.log[-1] == ("close", 1011)
        assert handler.log[:-1] in (([],) if when < 4 else ([0], [0, 1]))
        assert in_line._waiting == {}

    in_loop(main)


# --- answers -------------------------------------------------------------------------------------


def test_an_answer() -> None:
    async def main(tasks: Tasks) -> None:
        async def later(value: int) -> int:
            await asyncio.sleep(0)
            return 10 // value

        outcomes: list[Any] = []
        tasks.answer(later(2), outcomes.append)
        tasks.answer(later(0), outcomes.append)
        cancelled = tasks.answer(asyncio.Event().wait(), outcomes.append)
        assert len(tasks) == 3
        await asyncio.sleep(0)
        cancelled.cancel()
        await tasks.finish(5)
        results = {
            "cancelled" if task.cancelled() else task.exception() or task.result(): task
            for task in outcomes
        }
        assert 5 in results and "cancelled" in results
        assert any(isinstance(each, ZeroDivisionError) for each in results)

    in_loop(main)


def test_an_exception_that_nobody_waits_for_is_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(tasks: Tasks) -> None:
        async def fail() -> None:
            raise ValueError

        tasks.answer(fail(), lambda task: None)
        await tasks.finish(5)
        gc.collect()

    in_loop(main)
    assert not caplog.records


def test_who_leaves_before_it_begins_is_no_warning() -> None:
    async def main(tasks: Tasks) -> None:
        async def judge() -> None:
            await asyncio.sleep(0)

        outcomes: list[Any] = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            coroutine = judge()
            tasks.answer(coroutine, outcomes.append).cancel()
            await tasks.finish(5)
            assert [task.cancelled() for task in outcomes] == [True]
            assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED

    in_loop(main)
