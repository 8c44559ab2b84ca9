"""websockets with the speedups in: what is replaced, when, how deep, and what stays."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

import websockets.asyncio.connection
import websockets.asyncio.messages
import websockets.client
import websockets.extensions.permessage_deflate
import websockets.frames
import websockets.protocol
import websockets.server
import websockets.streams
import websockets.sync.connection
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from wsfast import speedups
from wsfast.speedups import websockets as described
from wsfast.speedups.guard import Refused, find, fingerprint, version_problem
from wsfast.speedups.selftest import frame_bytes
from wsfast.speedups.websockets import TARGET

HELLO = frame_bytes(1, b"hello", masking_key=b"\x12\x34\x56\x78")

HELPERS = {
    **described.STOOD_FOR,
    **described.STOOD_FOR_DEFLATE,
    **described.STOOD_FOR_MESSAGES,
    **described.STOOD_FOR_ASYNCIO,
    **described.STOOD_FOR_SYNC,
}


def slots() -> list[Any]:
    """Of every part but that of the legacy implementation, which is not imported here."""
    return [slot for part in TARGET.parts[:-1] for slot in part.slots()]


def held(where: str) -> Any:
    return find(where)[2]


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


def told(program: str) -> list[str]:
    """What a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# --- what is replaced --------------------------------------------------------------------------


def test_the_slots_are_replaced_and_put_back() -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("websockets", level="frames", strict=True):
        (report,) = speedups.status("websockets")
        changed = {where for where, value in before.items() if held(where) is not value}
        assert (report.state, report.level) == ("active", "frames")
        assert changed == set(report.slots) == set(before)
        assert len(changed) == 10
        assert report.stale == ()
    assert all(held(where) is value for where, value in before.items())


def test_there_is_nothing_to_replace_at_level_kernels() -> None:
    pytest.importorskip("websockets.speedups")
    with speedups.installed("websockets", level="kernels", strict=True):
        (report,) = speedups.status("websockets")
    assert report.slots == ()
    assert report.state != "refused"
    assert "level kernels" in report.note


def test_a_replacement_looks_like_the_original(fast: None) -> None:
    for slot in slots():
        ours = getattr(held(slot.where), "__func__", held(slot.where))
        original = ours.__wrapped__
        assert ours.__name__ == original.__name__
        assert ours.__qualname__ == original.__qualname__
        assert ours.__module__ == original.__module__
        assert ours.__doc__ == original.__doc__
        assert ours.__wsfast__ is original
    assert isinstance(held("websockets.frames:Frame.parse"), classmethod)


def test_classes_stay_what_they_were() -> None:
    before = {name: vars(websockets.protocol)[name] for name in ("Protocol", "Frame", "State")}
    with speedups.installed("websockets", strict=True):
        assert all(vars(websockets.protocol)[name] is each for name, each in before.items())
        frame = Frame(Opcode.TEXT, b"x")
        assert pickle.loads(pickle.dumps(frame)) == copy.deepcopy(frame) == frame
        assert isinstance(websockets.server.ServerProtocol(), Protocol)


@pytest.mark.parametrize("first", ["import websockets.sync.server, websockets.asyncio.client", ""])
def test_it_is_installed_whether_imported_before_or_after(first: str) -> None:
    program = f"""
{first}
import wsfast.speedups as sp
sp.install("websockets", strict=True)
(before,) = sp.status("websockets")
import websockets.sync.server, websockets.asyncio.client
(after,) = sp.status("websockets")
print(before.state, after.state, len(after.slots))
"""
    assert told(program) == ["active" if first else "pending", "active", "10"]


def test_nothing_is_imported_that_is_not_used() -> None:
    program = """
import sys, wsfast.speedups as sp
sp.install("websockets", strict=True)
print(len([each for each in sys.modules if each.startswith("websockets")]))
import websockets.server
rare = "websockets.asyncio.connection", "websockets.sync.connection", "websockets.legacy"
print(*[each for each in rare if each in sys.modules])
print(sp.status("websockets")[0].state)
"""
    assert told(program) == ["0", "active"]


def test_a_connection_that_is_open_already_gains() -> None:
    protocol = Protocol(SERVER)
    with speedups.installed("websockets", strict=True):
        waits_at = protocol.parser.gi_yieldfrom
        protocol.receive_data(HELLO * 2)
        assert protocol.parser.gi_yieldfrom is waits_at
    protocol.receive_data(HELLO)
    assert protocol.events_received() == [Frame(Opcode.TEXT, b"hello")] * 3


# --- what is checked ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", sorted(HELPERS))
def test_what_is_stood_for_is_what_was_tested(where: str) -> None:
    known = HELPERS[where].split()
    assert fingerprint(described._undecorated(held(where))) in known
    assert all(len(each) == 12 for each in known)


@pytest.mark.parametrize("where", sorted(HELPERS.keys() - described.STOOD_FOR_DEFLATE.keys()))
def test_another_helper_is_refused(where: str) -> None:
    owner, name, _ = find(where)

    def other(self: Any, *args: Any) -> None:
        """Not what was tested."""

    parts = {"asyncio": 1, "sync": 2}
    part = TARGET.parts[parts.get(where.split(".")[1], 0)]
    if where in described.STOOD_FOR_MESSAGES:
        part = TARGET.parts[1]
    with mock.patch.object(owner, name, other), pytest.raises(Refused, match="was not tested"):
        for slot in part.slots():
            slot.make(held(slot.where))


def test_another_permessage_deflate_is_left_to_itself() -> None:
    deflate = websockets.extensions.permessage_deflate.PerMessageDeflate
    decode = deflate.decode
    calls = []

    def other(self: Any, frame: Any, *, max_size: int | None = None) -> Any:
        calls.append(frame.opcode)
        return decode(self, frame, max_size=max_size)

    with mock.patch.object(deflate, "decode", other):
        assert described._deflate() is None
        with speedups.installed("websockets", strict=True):
            client, server = Protocol(CLIENT), Protocol(SERVER)
            for each in (client, server):
                each.extensions = [deflate(False, False, 15, 15)]
            client.send_text(b"compressed")
            calls.clear()  # of the self-test
            server.receive_data(client.data_to_send()[0])
    assert server.events_received() == [Frame(Opcode.TEXT, b"compressed")]
    assert calls == [Opcode.TEXT]


def test_it_does_without_zlib() -> None:
    with mock.patch.dict(sys.modules, {"websockets.extensions.permessage_deflate": None}):
        assert described._deflate() is None


@pytest.mark.parametrize(
    ("version", "tested"),
    [("13.1", False), ("14.0", True), ("15.0.1", True), ("17.4", True), ("18.0", False)],
)
def test_the_tested_versions(version: str, tested: bool) -> None:
    assert (version_problem(TARGET, version) is None) is tested


# --- who stands on it --------------------------------------------------------------------------


def test_trio() -> None:
    trio = pytest.importorskip("trio")
    server = pytest.importorskip("websockets.trio.server")
    client = pytest.importorskip("websockets.trio.client")

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async def serve(task_status: Any) -> None:
        await server.serve(echo, 0, host="127.0.0.1", task_status=task_status)

    async def main() -> list[Any]:
        found = []
        async with trio.open_nursery() as nursery:
            serving = await nursery.start(serve)
            port = serving.listeners[0].socket.getsockname()[1]
            async with client.connect(f"ws://127.0.0.1:{port}/") as connection:
                for message in ("text", b"bytes", "x" * 100_000):
                    await connection.send(message)
                    found.append(await connection.recv())
            nursery.cancel_scope.cancel()
        return found

    plain = trio.run(main)
    with speedups.installed("websockets", strict=True):
        assert trio.run(main) == plain
    assert plain[:2] == ["text", b"bytes"]


def test_uvicorn() -> None:
    config = pytest.importorskip("uvicorn.config")
    implementation = pytest.importorskip("uvicorn.protocols.websockets.websockets_sansio_impl")
    state = pytest.importorskip("uvicorn.server").ServerState

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            kinds.append({key: type(value) for key, value in message.items()})
            await send({"type": "websocket.send", "text": message.get("text")})

    async def main() -> list[Any]:
        settings = config.Config(app, lifespan="off", log_config=None)
        settings.load()
        loop = asyncio.get_running_loop()
        serving = await loop.create_server(
            lambda: implementation.WebSocketsSansIOProtocol(settings, state(), {}), "127.0.0.1", 0
        )
        port = serving.sockets[0].getsockname()[1]
        async with websockets.asyncio.client.connect(f"ws://127.0.0.1:{port}/") as client:
            await client.send("hello")
            found = [await client.recv()]
        serving.close()
        return [found, list(kinds)]

    import websockets.asyncio.client

    kinds: list[Any] = []
    plain = asyncio.run(main())
    kinds.clear()
    with speedups.installed("websockets", strict=True):
        assert asyncio.run(main()) == plain
    assert plain[0] == ["hello"]


def test_the_legacy_implementation() -> None:
    program = """
import asyncio, warnings
warnings.simplefilter("ignore")
import wsfast.speedups as sp
sp.install("websockets", strict=True)
from websockets.legacy.client import connect
from websockets.legacy.server import serve
async def echo(connection, path=None):
    async for message in connection:
        await connection.send(message)
async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/") as client:
            for message in ("text", b"x" * 70000):
                await client.send(message)
                print(len(await client.recv()))
asyncio.run(main())
print(sp.status("websockets")[0].state)
"""
    assert told(program) == ["4", "70000", "active"]


# --- what `bench` times ------------------------------------------------------------------------


@pytest.mark.parametrize("installed", [True, False])
def test_the_workloads_do_what_they_say(installed: bool) -> None:
    manager: Any = speedups.installed("websockets", strict=True)
    with manager if installed else contextlib.nullcontext():
        works = TARGET.workloads()
        for work in works:
            work.run()
            work.run()
    assert {each.size for each in works} == {125, 65536, 1 << 20}
    assert len({(each.name, each.size) for each in works}) == len(works)
    assert {each.frames for each in works} == {1, 64}


def test_the_workloads_leave_their_connections_open() -> None:
    for deflate in (True, False):
        for protocol in described._protocols(deflate):
            described._send(protocol, "send_text", b"x" * 10)
            assert protocol.parser_exc is None
            assert len(protocol.extensions) == deflate
