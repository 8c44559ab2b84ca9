"""What a client has to do: echoes in batches, each batch sent at once and then awaited."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Job", "content"]

#: Text is what applications send: JSON.
RECORD = '{{"id": {}, "symbol": "WSF", "price": {}, "side": "buy", "open": true}},'


def content(size: int, text: bool) -> str | bytes:
    """A message of so many bytes, the same in every process."""
    source = random.Random(size)
    if not text:
        return source.randbytes(size)
    records = (RECORD.format(n, source.randrange(10**6)) for n in range(size // 60 + 1))
    return "".join(records)[:size]


class Job:
    """One window of a client, on a connection of its own.

    The first batch is there to warm up, and its answers are compared; of all others only the
    lengths are, as a comparison would be CPU time that is not the library's.

    Args:
        url: of the echo server.
        size: bytes of a message.
        text: text, not binary.
        in_flight: messages of a batch.
        seconds: how long the window is, at least one batch.

    Attributes:
        message: what to send.
        data: the same as bytes.
    """

    def __init__(self, url: str, size: int, text: bool, in_flight: int, seconds: float) -> None:
        self.url = url
        self.message = content(size, text)
        self.data = self.message.encode() if isinstance(self.message, str) else self.message
        self.text = text
        self._size = size
        self._batch = range(in_flight)
        self._seconds = seconds
        self._batches = -1
        self._began = self._cpu = self._used = 0.0
        self._left = 0
        self._send: Callable[[Any], object] = self.check

    def more(self) -> bool:
        """Whether to send another batch; called before each, and once after the last one."""
        self._batches += 1
        now = time.perf_counter()
        if self._batches == 0:
            return True
        if self._batches == 1:
            self._began, self._cpu = now, time.process_time()
            return True
        if now - self._began < self._seconds:
            return True
        self._used = time.process_time() - self._cpu
        return False

    def check(self, answer: Any) -> None:
        """Compare an answer with what was sent.

        Raises:
            ValueError: it differs.
        """
        if len(answer) != self._size:
            raise ValueError(f"an answer has {len(answer)} of {self._size} bytes")
        if not self._batches and answer != self.message and answer != self.data:
            raise ValueError("an answer is not what was sent")

    def result(self) -> dict[str, float]:
        """Messages of the window, and the CPU time that this process used for them."""
        if not self._used:
            raise ValueError("the window was not completed")
        return {"messages": (self._batches - 1) * len(self._batch), "cpu": self._used}

    def exchange(self, send: Callable[[Any], object], receive: Callable[[], Any]) -> None:
        """The whole window, where both calls block."""
        while self.more():
            for _ in self._batch:
                send(self.message)
            for _ in self._batch:
                self.check(receive())

    async def exchange_async(
        self, send: Callable[[Any], Awaitable[object]], receive: Callable[[], Awaitable[Any]]
    ) -> None:
        """The whole window, where both are awaited."""
        while self.more():
            for _ in self._batch:
                await send(self.message)
            for _ in self._batch:
                self.check(await receive())

    def begin(self, send: Callable[[Any], object]) -> None:
        """The first batch, where answers come by callback; `answered` does the rest."""
        self._send = send
        self._next()

    def answered(self, answer: Any) -> bool:
        """Take an answer, and send the next batch after the last one; False at the end."""
        self.check(answer)
        self._left -= 1
        return self._left > 0 or self._next()

    def _next(self) -> bool:
        if not self.more():
            return False
        self._left = len(self._batch)
        for _ in self._batch:
            self._send(self.message)
        return True
