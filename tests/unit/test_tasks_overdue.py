"""Coroutines that take longer than `Limits.handler_seconds`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from in_line import FakeEndpoint, Handler, Stubborn, in_loop, whole
from wsfast.tasks import Tasks


def in_time(handler: object, tasks: Tasks, seconds: float) -> Any:
    return tasks.in_line(handler, seconds)


@pytest.mark.parametrize("message", ["lets go", "returns", "raises"])
def test_what_takes_too_long_is_cancelled(message: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main(tasks: Tasks) -> None:
        handler, ws = Stubborn(), FakeEndpoint()
        in_line = in_time(handler, tasks, 0.02)
        ws.on_fail = lambda: None if len(ws.log) > 1 else in_line.on_close(ws, 1011, "")
        for each in (message, "dropped"):
            in_line.on_message(ws, each)
        await tasks.finish(5)
        assert handler.log == [("begin", message), ("cancelled", message), ("close", 1011)]
        assert ws.log[0] == "fail TimeoutError"
        assert in_line._waiting == {} and in_line._overdue == set()

    in_loop(main)
    said = "Stubborn.on_message took longer than 0.02 s (handler_seconds): its connection is"
    assert said in caplog.records[0].getMessage()
    assert len(caplog.records) == 1 + (message == "raises")


def test_a_connection_does_not_wait_for_who_ignores_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main(tasks: Tasks) -> None:
        handler, ws = Stubborn(), FakeEndpoint()
        in_line = in_time(handler, tasks, 0.02)
        in_line.on_message(ws, "goes on")
        await asyncio.sleep(0.1)
        assert ws.log == ["fail TimeoutError"] and len(tasks) == 1
        handler.gate.set()
        await tasks.finish(5)

    in_loop(main)
    caplog.clear()


def test_each_has_its_own_time() -> None:
    """The timer of one is off before that of the next is on."""
    timers: list[asyncio.TimerHandle] = []

    class Timed(Tasks):
        def later(self, seconds: float, callback: Any, *args: Any) -> asyncio.Handle:
            assert all(each.cancelled() for each in timers)
            timer = super().later(seconds, callback, *args)
            assert isinstance(timer, asyncio.TimerHandle)
            timers.append(timer)
            return timer

    async def main(_: Tasks) -> None:
        handler, ws = Handler(), FakeEndpoint()
        tasks = Timed(asyncio.get_running_loop())
        in_line = in_time(handler, tasks, 20)
        for message in range(10):
            in_line.on_message(ws, message)
        handler.gate.set()
        await tasks.finish(5)
        assert handler.log == whole(*range(10)) and ws.log == []
        assert len(timers) == 10 and timers[-1].cancelled()

    in_loop(main)


def test_on_close_may_take_no_longer() -> None:
    class Hanging(Handler):
        async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
            await asyncio.Event().wait()

    async def main(tasks: Tasks) -> None:
        handler, ws = Hanging(), FakeEndpoint()
        in_line = in_time(handler, tasks, 0.02)
        in_line.on_close(ws, 1000, "")
        await tasks.finish(5)
        assert not tasks._running

    in_loop(main)


@pytest.mark.parametrize("seconds", [None, 0])
def test_without_a_limit_there_is_no_timer(
    seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(tasks: Tasks) -> None:
        monkeypatch.setattr(tasks, "later", None)
        handler, ws = Handler(), FakeEndpoint()
        in_line: Any = tasks.in_line(handler, seconds)
        in_line.on_message(ws, 1)
        handler.gate.set()
        await tasks.finish(5)
        assert handler.log == whole(1)

    in_loop(main)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is of Python 3.11")
@pytest.mark.parametrize("message", ["lets go", "returns", "raises"])
def test_what_is_behind_a_cancelled_one_may_have_its_own_timeout(message: str) -> None:
    """The task that both run in does not count as cancelled any more."""

    class Timing(Stubborn):
        async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
            try:
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                self.log.append("timed out")
            task = asyncio.current_task()
            assert task is not None and not task.cancelling()

    async def main(tasks: Tasks) -> None:
        handler, ws = Timing(), FakeEndpoint()
        in_line = in_time(handler, tasks, 0.3)
        ws.on_fail = lambda: None if len(ws.log) > 1 else in_line.on_close(ws, 1011, "")
        in_line.on_message(ws, message)
        await tasks.finish(5)
        assert handler.log == [("begin", message), ("cancelled", message), "timed out"]

    in_loop(main)
