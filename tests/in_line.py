"""What tests of coroutines in line share: an endpoint that is none, and a handler with a gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from wsfast.tasks import Tasks

__all__ = ["FakeEndpoint", "Handler", "Stubborn", "in_loop", "whole"]


class FakeEndpoint:
    """What InLine does to an endpoint."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.on_fail: Callable[[], object] = lambda: None

    def pause_reading(self, *, by: str) -> None:
        assert by == "handler"
        if self.log[-1:] != ["pause"]:  # a second one changes nothing
            self.log.append("pause")

    def resume_reading(self, *, by: str) -> None:
        assert by == "handler"
        self.log.append("resume")

    def fail(self, error: Exception) -> None:
        self.log.append(f"fail {type(error).__name__}")
        self.on_fail()


def in_loop(main: Callable[[Tasks], Coroutine[Any, Any, None]]) -> None:
    """Run main(tasks) on an asyncio loop."""

    async def run() -> None:
        tasks = Tasks(asyncio.get_running_loop())
        await main(tasks)
        assert not len(tasks)

    asyncio.run(asyncio.wait_for(run(), 20))


class Handler:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.gate = asyncio.Event()

    def on_open(self, ws: Any) -> None:
        self.log.append("open")

    async def on_message(self, ws: Any, message: Any) -> None:
        self.log.append(("begin", message))
        await self.gate.wait()
        if message == "raise":
            raise ValueError
        if message == "cancel":
            raise asyncio.CancelledError
        self.log.append(("end", message))

    async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        await asyncio.sleep(0)
        self.log.append(("close", close_code))


class Stubborn(Handler):
    """What happens when it is cancelled depends on the message."""

    async def on_message(self, ws: Any, message: Any) -> None:
        self.log.append(("begin", message))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.log.append(("cancelled", message))
            if message == "returns":
                return
            if message == "raises":
                raise KeyError(message) from None
            if message == "goes on":
                await self.gate.wait()
                return
            raise
        self.log.append(("end", message))


def whole(*messages: Any) -> list[Any]:
    return [(what, message) for message in messages for what in ("begin", "end")]
