"""Assembler.get and put of websockets' asyncio connections, replaced; and whole connections."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

from websockets.asyncio.client import connect
from websockets.asyncio.messages import Assembler, SimpleQueue
from websockets.asyncio.server import serve
from websockets.exceptions import ConcurrencyError, ConnectionClosedError
from websockets.frames import Frame, Opcode

from wsfast import speedups
from wsfast.speedups.websockets_asyncio import MessageGetter

TEXT = Frame(Opcode.TEXT, b"text")
BINARY = Frame(Opcode.BINARY, bytearray(b"binary"))


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 30))


def both(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """The same with the speedups as without."""
    plain = run(main)
    with speedups.installed("websockets", strict=True):
        assert run(main) == plain
    return plain


# --- messages out of an assembler --------------------------------------------------------------


@pytest.mark.parametrize("decode", [None, True, False, 0, "yes"])
def test_messages_that_wait(decode: Any) -> None:
    async def main() -> list[Any]:
        assembler = Assembler()
        found = []
        for frame in (TEXT, BINARY, Frame(Opcode.TEXT, b"\xff"), Frame(Opcode.BINARY, b"")):
            assembler.put(frame)
            try:
                found.append(await assembler.get(decode))
            except UnicodeDecodeError as error:
                found.append((str(error), error.object))
        return [(type(each), each) for each in found]

    assert both(main)[0][1] == (b"text" if decode in (False, 0) else "text")


def test_messages_that_are_waited_for() -> None:
    async def main() -> list[Any]:
        assembler = Assembler()
        waiting = asyncio.create_task(assembler.get())
        await asyncio.sleep(0)
        assembler.put(TEXT)
        assembler.put(BINARY)
        return [await waiting, await assembler.get()]

    assert both(main) == ["text", b"binary"]


def test_fragments() -> None:
    async def main() -> list[Any]:
        assembler = Assembler(high=2, low=1)
        assembler.put(Frame(Opcode.TEXT, b"a", False))
        assembler.put(Frame(Opcode.CONT, bytearray(b"b"), False))
        waiting = asyncio.create_task(assembler.get())
        await asyncio.sleep(0)
        assembler.put(Frame(Opcode.CONT, b"c", True))
        assembler.put(BINARY)
        return [await waiting, [each async for each in assembler.get_iter()]]

    assert both(main) == ["abc", [b"binary"]]


def test_nothing_happens_before_it_is_awaited(fast: None) -> None:
    async def main() -> None:
        assembler = Assembler()
        assembler.put(TEXT)
        first, second = assembler.get(), assembler.get()
        assert isinstance(first, MessageGetter)
        assert len(assembler.frames) == 1
        assembler.put(BINARY)
        assert await second == "text"
        assert await first == b"binary"
        for done in (first, second):
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await done

    run(main)


def test_a_message_that_is_gone_when_it_is_awaited(fast: None) -> None:
    async def main() -> None:
        assembler = Assembler()
        assembler.put(TEXT)
        late = assembler.get()
        assert await assembler.get() == "text"
        task = asyncio.create_task(late)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert not task.done()
        assembler.put(BINARY)
        assert await task == b"binary"
        assembler.put(TEXT)
        late = assembler.get()
        await assembler.get()
        task = asyncio.create_task(late)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert assembler.get_in_progress is False

    run(main)


def test_it_is_a_coroutine_as_far_as_one_can_ask(fast: None) -> None:
    async def main() -> None:
        assembler = Assembler()
        assembler.put(TEXT)
        getter: Any = assembler.get()
        assert isinstance(getter, collections.abc.Coroutine)
        assert asyncio.iscoroutine(getter)
        assert iter(getter) is getter
        with pytest.raises(KeyError):
            getter.throw(KeyError("x"))
        closed: Any = assembler.get()
        closed.close()
        for each in (getter, closed):
            with pytest.raises(RuntimeError):
                each.send(None)
        assert await asyncio.create_task(assembler.get()) == "text"  # type: ignore[arg-type]

    run(main)


def test_one_at_a_time() -> None:
    async def main() -> str:
        assembler = Assembler()
        waiting = asyncio.create_task(assembler.get())
        await asyncio.sleep(0)
        assembler.put(TEXT)
        try:
            await assembler.get()
        except ConcurrencyError as error:
            return f"{error} {await waiting}"
        return "no error"

    assert both(main) == "get() or get_iter() is already running text"


@pytest.mark.parametrize("closed", [True, False])
def test_a_closed_assembler(closed: bool) -> None:
    async def main() -> list[Any]:
        assembler = Assembler()
        assembler.put(TEXT)
        assembler.close()
        found: list[Any] = []
        for _ in range(2):
            try:
                found.append(await assembler.get())
            except EOFError as error:
                found.append(str(error))
        with pytest.raises(EOFError, match="stream of frames ended"):
            assembler.put(TEXT)
        return found

    both(main)


@pytest.mark.parametrize("high", [None, 0, 1, 3])
def test_reading_is_paused_and_resumed(high: Any) -> None:
    if high is None and Assembler.__init__.__defaults__[0] is not None:  # type: ignore[index]
        pytest.skip("there is always a limit before websockets 14.1")

    async def main() -> list[Any]:
        calls: list[str] = []
        assembler = Assembler(
            high, pause=lambda: calls.append("pause"), resume=lambda: calls.append("resume")
        )
        for _ in range(5):
            assembler.put(TEXT)
        for _ in range(5):
            calls.append(await assembler.get())
        return calls

    assert ("pause" in both(main)) is (high is not None)


def test_whoever_overrides_something_is_heard(fast: None) -> None:
    class Loud(Assembler):
        def maybe_pause(self) -> None:
            calls.append("pause?")

        def maybe_resume(self) -> None:
            calls.append("resume?")

    class Reversed(SimpleQueue[Any]):
        async def get(self, block: bool = True) -> Any:
            return self.queue.pop()

    async def main() -> None:
        loud = Loud()
        loud.put(TEXT)
        assert await loud.get() == "text"
        assert calls == ["pause?", "resume?"]
        assembler = Assembler()
        assembler.frames = Reversed()
        assembler.put(TEXT)
        assembler.put(BINARY)
        assert await assembler.get() == b"binary"

    calls: list[str] = []
    run(main)


def test_what_is_no_message(fast: None) -> None:
    class Other(Frame):
        pass

    async def main() -> None:
        for frame in (Other(Opcode.TEXT, b"x"), Frame(Opcode.TEXT, memoryview(b"x"))):
            assembler = Assembler()
            assembler.put(frame)
            getter = assembler.get()
            assert not isinstance(getter, MessageGetter)
            assert await getter == "x"
        assembler = Assembler()
        assembler.put(Frame(Opcode.CONT, b"x"))
        with pytest.raises(AssertionError):
            await assembler.get()

    run(main)


# --- whole connections -------------------------------------------------------------------------


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


@contextlib.asynccontextmanager
async def connected(handler: Any = echo, **options: Any) -> AsyncIterator[Any]:
    """A client of a server over loopback."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", **options) as client:
            yield client


@pytest.mark.parametrize("compression", ["deflate", None])
def test_an_echo_of_everything(compression: Any) -> None:
    messages: list[Any] = ["", "text", "žluťoučký", "\U0001f600" * 500, b"", b"\xff" * 70_000]
    messages += [["in ", "parts"], [b"a", b"b"], "x" * 300_000]

    async def main() -> list[Any]:
        async with connected(compression=compression, max_size=None) as client:
            for message in messages:
                await client.send(message)
            found = [await client.recv() for _ in messages]
            await client.send(bytearray(b"as text"), text=True)
            await client.send("as bytes", text=False)
            await client.send(memoryview(b"memory"))
            return [*found, *[await client.recv() for _ in range(3)]]

    found = both(main)
    expected = [
        each if not isinstance(each, list) else each[0][:0].join(each) for each in messages
    ]
    assert found == [*expected, "as text", b"as bytes", b"memory"]


def test_many_at_once() -> None:
    async def main() -> int:
        async with connected(max_queue=4) as client:
            texts = [f"message {number}" for number in range(200)]
            sending = asyncio.gather(*[client.send(each) for each in texts])
            received = [await client.recv() for _ in texts]
            await sending
            assert received == texts
            return await client.ping() is not None

    assert both(main)


def test_invalid_text_fails_the_connection() -> None:
    async def main() -> str:
        async with connected() as client:
            await client.send(b"\xff", text=True)
            try:
                await client.recv()
            except ConnectionClosedError as error:
                return str(error)
        return "open"

    assert "1007" in both(main)


def test_a_canceled_recv_loses_nothing() -> None:
    async def main() -> list[Any]:
        async with connected() as client:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(client.recv(), 0)
            await client.send("kept")
            return [await client.recv()]

    assert both(main) == ["kept"]


def test_a_handler_that_is_patched_in_later_is_called(fast: None) -> None:
    async def main() -> None:
        async with connected() as client:
            with mock.patch.object(Assembler, "get", mock.AsyncMock(return_value="mine")):
                assert await client.recv() == "mine"

    run(main)
