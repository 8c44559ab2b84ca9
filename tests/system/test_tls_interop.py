"""wss:// with foreign peers, both roles: websockets, aiohttp, and the openssl program."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from certificates import authority, client, server
from sockets import SANITIZED, SECONDS, Net, Recorder, network, request_head, text
from system.interop.payloads import MESSAGES
from wsfast.client import connect
from wsfast.errors import ConnectFailed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def beside(net: Net, work: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine in a thread of its own while our loop runs here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(asyncio.wait_for(work(), SECONDS))
        except BaseException as error:
            failures.append(error)
        net.loop.selector.wakeup()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        net.until(lambda: not thread.is_alive(), 2 * SECONDS)
    finally:
        thread.join(2 * SECONDS)
    if failures:
        raise failures[0]


# --- our server ----------------------------------------------------------------------------------


def test_websockets_talks_with_our_server(net: Net) -> None:
    library = pytest.importorskip("websockets.asyncio.client")
    handler = Recorder(echo=True)
    url = net.url(net.server(handler, tls=server()))

    async def talk() -> None:
        context = client().context
        async with library.connect(url, ssl=context, max_size=1 << 24, compression=None) as ws:
            for name, message in MESSAGES.items():
                await ws.send(message)
                assert await ws.recv() == message, name
            await (await ws.ping(b"?"))

    beside(net, talk)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1000, "")]


def test_aiohttp_talks_with_our_server(net: Net) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    handler = Recorder(echo=True)
    url = net.url(net.server(handler, tls=server()))

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(
                url, ssl=client().context, max_msg_size=1 << 24, compress=0
            ) as ws:
                for name, message in MESSAGES.items():
                    if isinstance(message, str):
                        await ws.send_str(message)
                    else:
                        await ws.send_bytes(message)
                    assert (await ws.receive()).data == message, name

    beside(net, talk)
    net.until(lambda: handler.closes)
    assert handler.closes == [(1000, "")]


def test_an_untrusting_client_gets_a_clear_error(net: Net) -> None:
    library = pytest.importorskip("websockets.asyncio.client")
    handler = Recorder()
    url = net.url(net.server(handler, tls=server()))

    async def talk() -> None:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await library.connect(url)

    beside(net, talk)
    net.until(lambda: handler.named("failed"))
    assert isinstance(handler.named("failed")[0][1], ConnectFailed)  # asyncio sends no alert


# --- our client ----------------------------------------------------------------------------------


@contextmanager
def serving(start: Callable[[], Awaitable[Any]]) -> Iterator[int]:
    """A foreign server in a thread of its own; start() returns it and its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        stop, port = asyncio.run_coroutine_threadsafe(start(), loop).result(SECONDS)
        yield port
        asyncio.run_coroutine_threadsafe(stop(), loop).result(SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()


def talk_with(net: Net, port: int) -> None:
    handler = Recorder()
    ws = connect(
        f"wss://127.0.0.1:{port}/",
        handler,
        loop=net.loop,
        tls=client(),
    )
    net.clients.append(ws)
    net.until(lambda: handler.events)
    assert handler.names() == ["open"], handler.events
    for name, message in MESSAGES.items():
        ws.send(message)
        net.until(lambda: handler.messages)
        assert handler.messages == [message], name
        handler.events.clear()
    ws.close()
    net.until(lambda: handler.closes and ws.remote_address is None)
    assert handler.closes == [(1000, "")]


def test_our_client_talks_with_websockets(net: Net) -> None:
    library = pytest.importorskip("websockets.asyncio.server")

    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async def start() -> Any:
        context = server().context
        made = await library.serve(echo, "127.0.0.1", 0, ssl=context, max_size=1 << 24)

        async def stop() -> None:
            made.close()
            await made.wait_closed()

        return stop, made.sockets[0].getsockname()[1]

    with serving(start) as port:
        talk_with(net, port)


def test_our_client_talks_with_aiohttp(net: Net) -> None:
    web = pytest.importorskip("aiohttp.web")

    async def echo(request: Any) -> Any:
        ws = web.WebSocketResponse(max_msg_size=0, compress=False)
        await ws.prepare(request)
        async for message in ws:
            await (ws.send_str if isinstance(message.data, str) else ws.send_bytes)(message.data)
        return ws

    async def start() -> Any:
        application = web.Application()
        application.router.add_get("/", echo)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server().context).start()
        return runner.cleanup, runner.addresses[0][1]

    with serving(start) as port:
        talk_with(net, port)


# --- the openssl program -------------------------------------------------------------------------


class OpenSSL:
    """`openssl s_client`, connected and past our opening handshake; K and R are its commands."""

    def __init__(self, net: Net, port: int, *arguments: str) -> None:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("there is no openssl program")
        self.net = net
        self.process = subprocess.Popen(
            [program, "s_client", "-connect", f"127.0.0.1:{port}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.printed = b""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.say(request_head(), b"101 Switching Protocols")

    def read(self) -> None:
        assert self.process.stdout is not None
        while chunk := self.process.stdout.read1(1 << 16):
            self.printed += chunk
            self.net.loop.selector.wakeup()
        self.net.loop.selector.wakeup()

    def say(self, line: bytes, answer: bytes) -> None:
        """Type something, and wait for what is printed then."""
        assert self.process.stdin is not None
        before = len(self.printed)
        self.process.stdin.write(line)
        self.process.stdin.flush()
        self.net.until(lambda: answer in self.printed[before:])

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.reader.join()


def listening(net: Net, handler: Recorder) -> int:
    """The port of a server of ours."""
    port: int = net.server(handler, tls=server()).addresses[0][1]
    return port


def test_key_updates(net: Net) -> None:
    """RFC 8446 4.6.3: the peer updates its key, and asks us to update ours."""
    handler = Recorder(echo=True)
    peer = OpenSSL(net, listening(net, handler), "-tls1_3")
    try:
        for number in range(5):
            peer.say(b"K\n", b"KEYUPDATE")
            word = f"after update {number}"
            peer.say(text(word), word.encode())
        peer.say(b"k\n", b"KEYUPDATE")
        peer.say(text("the last"), b"the last")
    finally:
        peer.close()
    assert len(handler.messages) == 6
    net.until(lambda: handler.closes)


def test_renegotiation_is_refused(net: Net) -> None:
    """The others are served on, whatever becomes of the one that asked."""
    handler = Recorder(echo=True)
    peer = OpenSSL(net, listening(net, handler), "-tls1_2")
    try:
        peer.say(text("before"), b"before")
        peer.say(b"R\n", b"RENEGOTIATING")
        net.until(lambda: b"renegotiation" in peer.printed)
    finally:
        peer.close()
    net.until(lambda: handler.closes)
    other = Recorder()
    net.client(net.servers[0], other, tls=client())
    net.until(lambda: other.events)
    assert other.names() == ["open"]


def test_a_session_is_resumed(net: Net, tmp_path: Path) -> None:
    """A reconnect with a ticket of the first connection (RFC 8446 4.6.1)."""
    handler = Recorder(echo=True)
    port = listening(net, handler)
    kept = tmp_path / "session.pem"
    for arguments, told in (("-sess_out", b"New, TLSv1.3"), ("-sess_in", b"Reused, TLSv1.3")):
        peer = OpenSSL(net, port, "-tls1_3", arguments, str(kept))
        try:
            peer.say(text("hello"), b"hello")
            assert told in peer.printed
        finally:
            peer.close()
        assert kept.stat().st_size


# --- the programs --------------------------------------------------------------------------------


@pytest.mark.skipif(SANITIZED, reason="a program of its own is not what make asan looks at")
def test_wsfast_bench_measures_wsfast_echo() -> None:
    pytest.importorskip("numpy")
    pytest.importorskip("click")
    chain, key = authority().files
    python = [sys.executable, "-m"]
    echo = subprocess.Popen(
        [*python, "wsfast.echo", "--port", "0", "--certificate", chain, "--key", key],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert echo.stdout is not None
    try:
        found = re.search(rb"wss://127.0.0.1:\d+/", echo.stdout.readline())
        assert found is not None
        url = found[0].decode()
        words = ["wsfast.loadgen", url, "-c", "8", "-n", "800", "-s", "20-40k", "-w", "2"]

        def measured(*options: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*python, *words, *options], capture_output=True, text=True, cwd=ROOT, timeout=60
            )

        done = measured("--cacert", str(authority().file))
        assert done.returncode == 0, done.stderr
        assert "errors          none" in done.stdout
        refused = measured()
        assert refused.returncode == 1
        assert "8 x tls_certificate" in refused.stderr
    finally:
        echo.terminate()
        echo.communicate(timeout=SECONDS)
    assert echo.returncode == 0


def test_wsfast_echo_says_what_is_wrong_with_a_certificate(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wsfast.echo", "--port", "0", "--certificate", "absent.pem"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 1
    assert "certificate cannot be read: No such file or directory: 'absent.pem'" in done.stderr
