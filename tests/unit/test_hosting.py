"""Serving inside asyncio: starting, ending, and the two ways of living in a loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from sockets import goodbye, request_head, text
from wire import frames_in
from wsfast.drain import Drain
from wsfast.hosting import Serving, event_loop, new_event_loop, run, serve_until_signal
from wsfast.limits import Limits
from wsfast.selector import EpollSelector

LOOPS = ["ours", "plain", "uvloop"]


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoop:
    if request.param == "uvloop":
        made: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
        return made
    if request.param == "plain":
        return asyncio.SelectorEventLoop(selectors.DefaultSelector())
    return new_event_loop()


class Echo:
    def on_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


class Client:
    """An asyncio client by hand, on the loop that serves as well."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, address: Any) -> Client:
        client = cls(*await asyncio.open_connection(*address[:2]))
        client.writer.write(request_head())
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        return client

    async def ask(self, payload: str) -> bytes:
        self.writer.write(text(payload))
        return await self.message()

    async def message(self) -> bytes:
        data = await self.reader.readexactly(2)
        return frames_in(data + await self.reader.readexactly(data[1]))[0][3]

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def test_client_and_server_in_one_loop(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with Serving(Echo(), port=0) as serving:
            clients = [await Client.open(serving.addresses[0]) for _ in range(5)]
            answers = await asyncio.gather(*(client.ask("x") for client in clients))
            assert answers == [b"x"] * 5
            assert serving.server.connections == 5
            for client in clients:
                await client.leave()

    run(asyncio.wait_for(main(), 20), loop)


def test_it_starts_once(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        serving = Serving(Echo(), port=0)
        await serving.close()  # nothing to close
        async with serving:
            with pytest.raises(RuntimeError, match="starts once"):
                await serving.start()
            client = await Client.open(serving.addresses[0])
            assert await client.ask("x") == b"x"
            await client.leave()
        with pytest.raises(RuntimeError, match="starts once"):
            await serving.start()

    run(asyncio.wait_for(main(), 20), loop)


def test_one_that_could_not_start_may_try_again(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    """A socket in a directory: a port that is given up may be somebody else's at once."""
    path = tmp_path / "absent" / "socket"

    async def main() -> None:
        serving = Serving(Echo(), unix=str(path))
        with pytest.raises(FileNotFoundError):
            await serving.start()
        path.parent.mkdir()
        await serving.start()
        assert serving.addresses == [str(path)]
        await serving.close()

    run(asyncio.wait_for(main(), 20), loop)


def test_two_servers_in_one_loop(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with Serving(Echo(), port=0) as first, Serving(Echo(), port=0) as second:
            for serving in (first, second, first):
                client = await Client.open(serving.addresses[0])
                assert await client.ask("x") == b"x"
                await client.leave()

    run(asyncio.wait_for(main(), 20), loop)


def test_what_is_sent_from_outside_leaves_soon(loop: asyncio.AbstractEventLoop) -> None:
    class Keep:
        def on_open(self, ws: Any) -> None:
            self.ws = ws

    async def main() -> None:
        handler = Keep()
        async with Serving(handler, port=0) as serving:
            client = await Client.open(serving.addresses[0])
            for number in range(20):
                handler.ws.send(f"{number}")
                assert await asyncio.wait_for(client.message(), 5) == b"%d" % number
            handler.ws.close(4000)
            assert (await client.message())[:2] == b"\x0f\xa0"
            await client.leave()

    run(asyncio.wait_for(main(), 20), loop)


def test_closing_twice_and_by_hand(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        serving = Serving(Echo(), port=0)
        await serving.start()
        await serving.close(1012, "restart")
        await serving.close()
        assert serving.addresses == []

    run(main(), loop)


def test_closing_joins_a_drain_that_is_under_way(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with Serving(Echo(), port=0) as serving:
            client = await Client.open(serving.addresses[0])
            drain = serving.server.drain(close_code=1012)
            closing = asyncio.get_running_loop().create_task(serving.close(1001))
            assert (await client.message())[:2] == b"\x03\xf4"
            assert not closing.done()
            await client.leave()
            await closing
            assert drain.done and not serving.server.connections

    run(asyncio.wait_for(main(), 20), loop)


async def stubborn(serving: Serving) -> Client:
    """A client that does not answer a Close, and is past the opening handshake."""
    client = await Client.open(serving.addresses[0])
    assert await client.ask("x") == b"x"
    return client


def test_a_close_that_is_cancelled_leaves_the_rest_to_the_next(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def main() -> None:
        serving = Serving(Echo(), port=0, limits=Limits(closing_seconds=60))
        await serving.start()
        client = await stubborn(serving)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(serving.close(), 0.01)
        assert serving.server.draining
        client.writer.write(goodbye(1001))  # it thinks better of it
        other = asyncio.create_task(serving.close())
        await serving.close()
        await other
        assert not serving.server.draining and not serving.server.connections
        assert serving.server.loop.selector.closed is (serving._guest is not None)
        await client.leave()

    run(asyncio.wait_for(main(), 20), loop)


def test_leaving_joins_a_drain_that_is_under_way(loop: asyncio.AbstractEventLoop) -> None:
    done: list[Drain] = []

    async def main() -> None:
        async with Serving(Echo(), port=0, limits=Limits(closing_seconds=0.2)) as serving:
            client = await stubborn(serving)
            drain = serving.server.drain(close_code=1012, on_done=done.append)
        assert done == [drain] and drain.done
        assert (await client.message())[:2] == b"\x03\xf4", "as it was begun"
        await client.leave()

    run(asyncio.wait_for(main(), 20), loop)


def test_a_start_that_fails_leaves_nothing_behind(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with pytest.raises(OSError):
            await Serving(Echo(), "198.51.100.1", 0).start()
        with pytest.raises(TypeError):
            await Serving(Echo(), port=0, no_such_option=1).start()
        async with Serving(Echo(), port=0) as serving:
            assert serving.addresses

    run(main(), loop)


def test_the_selector_is_the_loops_own_where_it_can_be() -> None:
    async def main() -> None:
        async with Serving(Echo(), port=0) as serving:
            own = getattr(asyncio.get_running_loop(), "_selector", None)
            assert serving.server.loop.selector is own
            assert own.flush_soon is None

    run(main())


def test_any_loop_over_our_selector_will_do() -> None:
    selector = EpollSelector()

    async def main() -> None:
        async with Serving(Echo(), port=0) as serving:
            assert serving.server.loop.selector is selector

    run(main(), asyncio.SelectorEventLoop(selector))
    assert selector.closed


def test_signals_end_it(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        serving = Serving(Echo(), port=0)
        task = asyncio.get_running_loop().create_task(serve_until_signal(serving))
        while not hasattr(serving, "server"):
            await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 10)
        assert serving.addresses == []

    before = signal.getsignal(signal.SIGTERM)
    run(main(), loop)
    assert signal.getsignal(signal.SIGTERM) == before


def test_until_a_signal_it_says_when_and_drains_as_told(loop: asyncio.AbstractEventLoop) -> None:
    said: list[Any] = []

    async def main() -> None:
        serving = Serving(Echo(), port=0)

        async def talk() -> None:
            client = await Client.open(serving.addresses[0])
            signal.raise_signal(signal.SIGTERM)
            said.append((await client.message())[:2])
            await client.leave()

        def ready() -> None:
            said.append(asyncio.get_running_loop().create_task(talk()))

        def stop() -> None:
            said.append(serving.server.draining)

        ending = {"close_code": 1012, "limit_seconds": 5.0}
        await serve_until_signal(serving, on_ready=ready, on_stop=stop, **ending)

    run(asyncio.wait_for(main(), 20), loop)
    assert said[1:] == [False, b"\x03\xf4"]


def test_a_second_signal_waits_for_nobody(loop: asyncio.AbstractEventLoop) -> None:
    class Endless:
        async def on_message(self, ws: Any, message: Any) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        serving = Serving(Endless(), port=0, limits=Limits(closing_seconds=60), grace_seconds=60)

        async def talk() -> None:
            client = await Client.open(serving.addresses[0])
            client.writer.write(text("x"))
            signal.raise_signal(signal.SIGINT)
            assert (await client.message())[:2] == b"\x03\xe9"
            signal.raise_signal(signal.SIGINT)
            assert await client.reader.read() == b""
            await client.leave()

        tasks: list[asyncio.Task[None]] = []
        await serve_until_signal(
            serving,
            on_ready=lambda: tasks.append(asyncio.get_running_loop().create_task(talk())),
        )
        await tasks[0]

    run(asyncio.wait_for(main(), 20), loop)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_loop_of_a_kind(kind: str) -> None:
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    made = event_loop(kind)
    assert type(made).__module__.split(".")[0] == kind and not made.is_running()
    made.close()


def test_run_returns_raises_and_cleans_up() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def main(fail: bool) -> str:
        main.task = asyncio.get_running_loop().create_task(forever())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        if fail:
            raise KeyError
        return "result"

    assert run(main(False)) == "result"
    with pytest.raises(KeyError):
        run(main(True))
    assert ended == ["cancelled"] * 2


def test_an_exception_inside_closes_the_server(loop: asyncio.AbstractEventLoop) -> None:
    servings: list[Serving] = []

    async def main() -> None:
        async with Serving(Echo(), port=0) as serving:
            servings.append(serving)
            raise KeyError

    with pytest.raises(KeyError):
        run(main(), loop)
    assert servings[0].addresses == []


# --- who ends the loop and not the server --------------------------------------------------------


class Hanging:
    def __init__(self) -> None:
        self.log: list[Any] = []

    async def on_message(self, ws: Any, message: Any) -> None:
        self.ws = ws
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("cancelled")

    async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None:
        await asyncio.sleep(0)
        self.log.append(close_code)


@pytest.mark.parametrize("stop", [False, True])
def test_a_loop_that_ends_cancels_what_is_under_way_and_says_goodbye(
    loop: asyncio.AbstractEventLoop, stop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Hanging()
    serving = Serving(handler, port=0)
    client = socket.socket()

    async def main() -> None:
        await serving.start()
        client.connect(serving.addresses[0])
        client.send(request_head() + text("hangs") + text("dropped"))
        while not hasattr(handler, "ws"):
            await asyncio.sleep(0.01)
        if stop:
            asyncio.get_running_loop().stop()
            await asyncio.Event().wait()

    with contextlib.suppress(RuntimeError) if stop else contextlib.nullcontext():
        run(main(), loop)
    assert handler.log == ["cancelled", 1011]
    with client:
        assert client.recv(4096).endswith(b"\x03\xf3internal error")
    assert handler.ws.send("late") is False
    handler.ws.disconnect()
    handler.ws.pause_reading()
    caplog.clear()
    leave_behind(serving, loop)


def test_what_is_sent_when_the_loop_has_ended(loop: asyncio.AbstractEventLoop) -> None:
    """Nothing there will ever send it: a guest says so, and a disconnect works all the same."""
    serving = Serving(Echo(), port=0)
    client = socket.socket()

    async def main() -> None:
        await serving.start()
        client.connect(serving.addresses[0])
        client.send(request_head())
        while not serving.server.stats()["opened"]:
            await asyncio.sleep(0.01)

    run(main(), loop)
    [ws] = serving.server.settings.endpoints
    if serving._guest is not None:
        with pytest.raises(RuntimeError, match="closed"):
            ws.send("late")
    ws.disconnect()
    client.close()
    leave_behind(serving, loop)


def leave_behind(serving: Serving, loop: asyncio.AbstractEventLoop) -> None:
    """Close by hand what a Serving that was never closed holds."""
    serving.server.stop_listening()
    if serving._guest is not None:
        serving._guest.close()
