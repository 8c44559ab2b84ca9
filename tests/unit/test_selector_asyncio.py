"""Hosting: as asyncio's own selector, and as a guest that asyncio, uvloop or trio polls."""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from backends import BACKENDS, drain_socket, socket_pair
from wsfast.callback import CallbackStream
from wsfast.selector import EpollSelector

READ = selectors.EVENT_READ
#: A guest's loop polls its descriptor, and a select() that hangs would be a hanging test.
PATIENCE = 20
needs_epoll = pytest.mark.skipif(
    not hasattr(select, "epoll"), reason="without epoll no descriptor stands for all of a selector"
)

Main = Callable[[EpollSelector], Coroutine[Any, Any, None]]
Runner = Callable[[Main], None]


@pytest.fixture(params=BACKENDS)
def run(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Runs a coroutine function on an asyncio loop whose selector is ours."""

    def run_main(main: Main) -> None:
        selector = EpollSelector(backend=request.param)
        loop = asyncio.SelectorEventLoop(selector)
        try:
            loop.run_until_complete(asyncio.wait_for(main(selector), PATIENCE))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
        assert selector.closed

    yield run_main


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server's side of a connection: sends back line by line."""
    async for line in reader:
        writer.write(line)
        await writer.drain()
    writer.close()


async def converse(port: int, lines: int) -> int:
    """The client's side: how many lines came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    for number in range(lines):
        writer.write(b"line %d\n" % number)
        assert await reader.readline() == b"line %d\n" % number
        count += 1
    writer.close()
    await writer.wait_closed()
    return count


def test_asyncio_streams(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await asyncio.gather(*(converse(port, 20) for _ in range(10))) == [20] * 10
        server.close()
        await server.wait_closed()

    run(main)


def test_large_transfers_see_back_pressure(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        received: list[int] = []

        async def consume(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1 << 16):
                received.append(len(data))
            writer.close()
            done.set()

        done = asyncio.Event()
        server = await asyncio.start_server(consume, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(64):
            writer.write(bytes(1 << 17))
            await writer.drain()
        writer.close()
        await done.wait()
        assert sum(received) == 1 << 23
        server.close()
        await server.wait_closed()

    run(main)


def test_streams_of_ours_beside_those_of_asyncio(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        left, right = socket_pair()
        got: list[bytes] = []
        idle = asyncio.Event()

        def ready(events: int) -> None:
            got.append(left.recv(100))
            stream.at_turn_end()
            if len(got) == 50:
                idle.set()

        stream = CallbackStream(
            selector, left.fileno(), READ, ready, on_turn_end=lambda: right.send(b"again")
        )
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        right.send(b"again")
        lines = await asyncio.gather(*(converse(port, 20) for _ in range(5)), idle.wait())
        assert lines[:5] == [20] * 5 and set(got) == {b"again"}
        stream.remove()
        server.close()
        await server.wait_closed()
        left.close()
        right.close()

    run(main)


def test_what_asyncio_code_queues_leaves_before_the_next_wait(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        ended = asyncio.get_running_loop().create_future()
        stream = CallbackStream(selector, -1, on_turn_end=lambda: ended.set_result("ended"))
        stream.at_turn_end()
        assert not ended.done()
        assert await asyncio.wait_for(ended, PATIENCE) == "ended"
        stream.at_turn_end()
        ended = asyncio.get_running_loop().create_future()
        selector.flush()
        assert ended.done()
        stream.remove()

    run(main)


def test_deadlines_and_timers_side_by_side(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = loop.create_future(), loop.create_future()
        start = loop.time()
        selector.call_later(0.05, ours.set_result, None)
        loop.call_later(0.05, theirs.set_result, None)
        await asyncio.gather(ours, theirs)
        assert 0.05 <= loop.time() - start < PATIENCE

    run(main)


def test_executors_and_threads(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        loop = asyncio.get_running_loop()
        numbers = await asyncio.gather(
            *(loop.run_in_executor(None, lambda n=n: n * n) for n in range(50))
        )
        assert numbers == [n * n for n in range(50)]
        called = loop.create_future()
        thread = threading.Thread(
            target=selector.call_threadsafe, args=(called.set_result, threading.get_ident())
        )
        thread.start()
        assert await called == thread.ident or called.result() == threading.get_ident()
        thread.join()

    run(main)


def test_signals(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        loop = asyncio.get_running_loop()
        received = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, received.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await received.wait()
        assert loop.remove_signal_handler(signal.SIGUSR1)

    run(main)


def test_pipes_of_another_process(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        loop = asyncio.get_running_loop()
        child = subprocess.Popen(
            [sys.executable, "-c", "print(input()[::-1])"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdin is not None and child.stdout is not None
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), child.stdout)
        transport, _ = await loop.connect_write_pipe(asyncio.Protocol, child.stdin)
        transport.write(b"hello\n")
        assert await reader.read() == b"olleh\n"
        transport.close()
        assert await loop.run_in_executor(None, child.wait) == 0

    run(main)


def test_add_reader_and_add_writer(run: Runner) -> None:
    async def main(selector: EpollSelector) -> None:
        loop = asyncio.get_running_loop()
        left, right = socket_pair()
        readable, writable = loop.create_future(), loop.create_future()
        loop.add_reader(left, lambda: readable.done() or readable.set_result(None))
        loop.add_writer(left, lambda: writable.done() or writable.set_result(None))
        await writable
        assert not readable.done()
        assert loop.remove_writer(left) and not loop.remove_writer(left)
        right.send(b"x")
        await readable
        assert loop.remove_reader(left) and not loop.remove_reader(left)
        left.close()
        right.close()

    run(main)


def test_an_exception_of_a_callback_leaves_run_forever() -> None:
    """As an exception out of a selector does; the loop goes on when it is run again."""
    selector = EpollSelector()
    loop = asyncio.SelectorEventLoop(selector)
    left, right = socket_pair()

    def fail(events: int) -> None:
        drain_socket(left)
        raise ZeroDivisionError

    CallbackStream(selector, left.fileno(), READ, fail)
    task = loop.create_task(asyncio.sleep(0.01, "done"))
    right.send(b"x")
    with pytest.raises(ZeroDivisionError):
        loop.run_forever()
    assert loop.run_until_complete(task) == "done"
    loop.close()
    left.close()
    right.close()


class Guest:
    """A selector with a stream, a timer, a thread and a file that some other loop hosts."""

    def __init__(self) -> None:
        self.selector = EpollSelector()
        self.left, self.right = socket_pair()
        self.log: list[str] = []
        self.stream = CallbackStream(self.selector, self.left.fileno(), READ, self.on_ready)
        self.selector.call_later(0.02, self.log.append, "timer")
        self.thread = threading.Timer(
            0.02, self.selector.call_threadsafe, (self.log.append, "thread")
        )
        self.thread.start()
        self.right.send(b"x")

    def on_ready(self, events: int) -> None:
        self.log.append("stream")
        drain_socket(self.left)

    def turn(self) -> bool:
        """What the host does when the descriptor is readable; whether all has come."""
        self.selector.select(0)
        return len(self.log) >= 3

    def close(self) -> None:
        assert sorted(self.log) == ["stream", "thread", "timer"]
        self.thread.join()
        self.selector.close()
        self.left.close()
        self.right.close()


async def host_in_asyncio() -> None:
    """The body of a host: `add_reader` on the descriptor of the guest."""
    loop, guest = asyncio.get_running_loop(), Guest()
    done = asyncio.Event()

    def readable() -> None:
        if guest.turn():
            done.set()

    loop.add_reader(guest.selector.fileno(), readable)
    await asyncio.wait_for(done.wait(), PATIENCE)
    loop.remove_reader(guest.selector.fileno())
    guest.close()


@needs_epoll
def test_guest_in_asyncio() -> None:
    loop = asyncio.SelectorEventLoop(selectors.DefaultSelector())
    try:
        loop.run_until_complete(host_in_asyncio())
    finally:
        loop.close()


@needs_epoll
def test_guest_in_another_of_ours() -> None:
    guest = Guest()
    with EpollSelector() as host:
        host.register(guest.selector, READ)
        while not guest.turn():
            assert [key.fileobj for key, _ in host.select(PATIENCE)] == [guest.selector]
        host.unregister(guest.selector)
    guest.close()


@needs_epoll
def test_guest_in_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(host_in_asyncio())
    finally:
        loop.close()


@needs_epoll
def test_guest_in_trio() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        guest = Guest()
        with trio.fail_after(PATIENCE):
            while not guest.turn():
                await trio.lowlevel.wait_readable(guest.selector.fileno())
        guest.close()

    trio.run(main)


def test_a_socket_is_free_again_after_asyncio_closed_it(run: Runner) -> None:
    """asyncio unregisters what it closes; the numbers come back and are registered again."""

    async def main(selector: EpollSelector) -> None:
        numbers = set()
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        for _ in range(30):
            reader, writer = await asyncio.open_connection(*address)
            sock: socket.socket = writer.get_extra_info("socket")
            numbers.add(sock.fileno())
            writer.write(b"x\n")
            assert await reader.readline() == b"x\n"
            writer.close()
            await writer.wait_closed()
        assert len(numbers) < 30
        server.close()
        await server.wait_closed()

    run(main)
