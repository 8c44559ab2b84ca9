"""Connection.send of websockets' asyncio, replaced: when all is well, and when it is not."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed, ProtocolError
from websockets.protocol import CLIENT, CLOSED, Protocol

from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes
from wsfast.speedups.websockets_selftest import called_by, unmasked

#: What a message does not pass while all is well.
LIBRARY_CODE = {"send_context", "send_data", "data_to_send", "serialize", "send_text"}


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


class Wire(asyncio.Transport):
    """Remembers what is written; refuses it if told to."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error = error
        self.written: list[bytes] = []
        self.connection: Any = None
        self.closing = False

    def write(self, data: Any) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.connection.connection_lost(None)

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        pass


def opened(wire: Wire, cls: Any = Connection, side: Any = CLIENT, **options: Any) -> Any:
    """A connection over a transport; only inside of a loop."""
    connection = cls(Protocol(side), **options)
    connection.connection_made(wire)
    wire.connection = connection
    return connection


def both(main: Any) -> Any:
    """The same with the speedups as without."""
    plain = asyncio.run(asyncio.wait_for(main(), 30))
    with speedups.installed("websockets", strict=True):
        assert asyncio.run(asyncio.wait_for(main(), 30)) == plain
    return plain


def test_it_is_a_coroutine_function_like_the_original(fast: None) -> None:
    ours: Any = vars(Connection)["send"]
    assert inspect.iscoroutinefunction(ours)
    assert inspect.signature(ours) == inspect.signature(ours.__wrapped__)
    assert ours.__kwdefaults__ == ours.__wrapped__.__kwdefaults__
    assert (ours.__name__, ours.__qualname__) == ("send", "Connection.send")


def test_text_is_given_as_before(fast: None) -> None:
    async def main() -> None:
        connection = opened(Wire())
        if vars(Connection)["send"].__wrapped__.__kwdefaults__:
            with pytest.raises(TypeError):
                await connection.send(b"x", True)
        else:
            await connection.send(b"x", True)
        with pytest.raises(TypeError):
            await connection.send(b"x", txt=True)

    asyncio.run(main())


def test_a_message_passes_none_of_the_librarys_code(fast: None) -> None:
    async def main() -> None:
        wire = Wire()
        connection = opened(wire)
        found = called_by(lambda: connection.send("text").send)
        coroutine = connection.send("text")

        def step() -> None:
            with pytest.raises(StopIteration):
                coroutine.send(None)

        found |= called_by(step)
        assert not found & LIBRARY_CODE
        assert unmasked(wire.written[0])[-1] == b"text"  # type: ignore[index]

    with pytest.warns(RuntimeWarning, match="never awaited"):
        asyncio.run(main())


@pytest.mark.parametrize("text", [None, True, False])
def test_every_kind_of_message(text: Any) -> None:
    messages: list[Any] = [
        "",
        "ascii",
        "ěšč",
        "x" * 70_000,
        b"bytes",
        bytearray(b"array"),
        memoryview(b"memory"),
        memoryview(b"strided")[::2],
        ["a", "b"],
        [b"a", b"b"],
        [],
    ]

    async def main() -> list[Any]:
        wire = Wire()
        connection = opened(wire)
        for message in messages:
            await connection.send(message, text=text)
        return [unmasked(each) for each in wire.written]

    assert len(both(main)) == 14


@pytest.mark.parametrize("message", [None, 3, {"a": 1}, [1], ["a", b"b"], object])
def test_what_is_no_message(message: Any) -> None:
    async def main() -> Any:
        wire = Wire()
        connection = opened(wire, close_timeout=0)
        try:
            await connection.send(message)
        except (TypeError, ConnectionClosed) as error:
            return type(error), str(error), [unmasked(each) for each in wire.written]

    assert both(main)


def test_a_text_that_cannot_be_encoded(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> Any:
        caplog.clear()
        wire = Wire()
        connection = opened(wire)
        try:
            await connection.send("\ud800")
        except ConnectionClosed as error:
            logged = [each.getMessage() for each in caplog.records]
            return str(error), repr(error.__cause__), logged, wire.written

    assert "unexpected internal error" in both(main)[2]


@pytest.mark.parametrize("error", [OSError("broken"), RuntimeError("after eof")])
def test_a_transport_that_fails(error: Exception) -> None:
    async def main() -> Any:
        wire = Wire(error)
        connection = opened(wire)
        try:
            await connection.send("lost")
        except ConnectionClosed as closed:
            return str(closed), closed.__cause__, connection.state, connection.protocol.writes

    assert both(main)[1:3] == (error, CLOSED)


def test_an_interrupt_is_not_caught() -> None:
    async def main() -> Any:
        connection = opened(Wire(KeyboardInterrupt()))
        try:
            await connection.send("lost")
        except KeyboardInterrupt:
            return True

    assert both(main)


def test_a_transport_that_is_full_or_closing() -> None:
    async def main() -> list[Any]:
        wire = Wire()
        connection = opened(wire)
        connection.pause_writing()
        task = asyncio.create_task(connection.send("waits"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = [len(wire.written), task.done()]
        connection.resume_writing()
        await task
        wire.closing = True
        steps = 0
        coroutine = connection.send("yields")
        try:
            while True:
                coroutine.send(None)
                steps += 1
        except StopIteration:
            return [*found, steps, len(wire.written)]

    assert both(main) == [1, False, 1, 2]


def test_fragments_are_not_interrupted() -> None:
    async def main() -> list[Any]:
        wire = Wire()
        connection = opened(wire)
        turn = asyncio.Event()

        async def parts() -> Any:
            yield "first"
            await turn.wait()
            yield "second"

        fragmented = asyncio.create_task(connection.send(parts()))
        await asyncio.sleep(0)
        other = asyncio.create_task(connection.send("other"))
        await asyncio.sleep(0)
        turn.set()
        await asyncio.gather(fragmented, other)
        return [unmasked(each)[-1] for each in wire.written]  # type: ignore[index]

    assert both(main) == [b"first", b"second", b"", b"other"]


def test_what_waits_to_be_written_goes_first(fast: None) -> None:
    async def main() -> None:
        wire = Wire()
        connection = opened(wire)
        connection.protocol.send_ping(b"ping")
        await connection.send("text")
        found = [unmasked(each)[-1] for each in wire.written]  # type: ignore[index]
        assert found == [b"ping", b"text"]

    asyncio.run(main())


def test_a_closed_connection() -> None:
    async def main() -> Any:
        wire = Wire()
        connection = opened(wire, close_timeout=0)
        connection.data_received(frame_bytes(8, b"\x03\xe8"))
        try:
            await connection.send("too late")
        except ConnectionClosed as closed:
            return str(closed), [unmasked(each) for each in wire.written]

    assert both(main)


def test_subclasses_and_patches_are_heard(fast: None) -> None:
    class Loud(Connection):
        def send_data(self) -> None:
            calls.append("send_data")
            super().send_data()

    async def main() -> None:
        await opened(Wire(), Loud).send("x")
        connection = opened(Wire())
        refuse = mock.Mock(side_effect=ProtocolError("patched"))
        with mock.patch.object(connection.protocol, "send_text", refuse):
            with pytest.raises(ProtocolError, match="patched"):
                await connection.send("x")

    calls: list[str] = []
    asyncio.run(main())
    assert calls == ["send_data"]


def test_debug_logging_is_the_librarys(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="websockets.client"):
            await opened(Wire()).send("text")
        return [each.getMessage() for each in caplog.records]

    assert any("TEXT 'text'" in each for each in both(main))
