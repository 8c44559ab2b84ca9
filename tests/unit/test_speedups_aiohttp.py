"""aiohttp with the speedups in: what is replaced in which build, when, and end to end."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("aiohttp")

import aiohttp
from aiohttp import web
from aiohttp._websocket import helpers, reader, writer
from aiohttp.test_utils import TestClient, TestServer

from wsfast import speedups
from wsfast.speedups.aiohttp import READER, STOOD_FOR, TARGET, WRITER
from wsfast.speedups.aiohttp_selftest import FEED_DATA, WRITE_FRAME

COMPILED = helpers.websocket_mask is not helpers._websocket_mask_python
HAS_WRITE_FRAME = hasattr(writer.WebSocketWriter, "_write_websocket_frame")

#: What each build replaces, by level.
MASKS = {f"{each}:websocket_mask" for each in (WRITER, "aiohttp._websocket.helpers", READER)}
PURE = {"kernels": MASKS, "frames": MASKS | {WRITE_FRAME, FEED_DATA}}
CYTHON = {"kernels": set(), "frames": {WRITE_FRAME}}

pytestmark = pytest.mark.skipif(not HAS_WRITE_FRAME, reason="an aiohttp before 3.13.2")
both_builds = pytest.mark.parametrize("build", ["compiled", "pure"])


def python(build: str, program: str) -> str:
    """What a program prints in a new interpreter, with or without aiohttp's extensions."""
    environment = {**os.environ, "AIOHTTP_NO_EXTENSIONS": "1" if build == "pure" else ""}
    environment["WSFAST_SPEEDUPS"] = ""
    if build == "compiled" and not COMPILED:
        pytest.skip("this aiohttp has no extensions")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


# --- what is replaced --------------------------------------------------------------------------


@both_builds
@pytest.mark.parametrize("level", ["kernels", "frames"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_each_build_has_its_slots(build: str, level: str, late: bool) -> None:
    lines = ["import wsfast.speedups as sp", f"sp.install('aiohttp', level={level!r})"]
    lines.insert(0 if late else 2, "import aiohttp")
    program = "\n".join([*lines, "print(*sp.status('aiohttp')[0].slots)"])
    expected = (PURE if build == "pure" else CYTHON)[level]
    assert set(python(build, program).split()) == expected


@both_builds
def test_uninstall_puts_back_the_very_objects(build: str) -> None:
    program = """
        import sys, aiohttp, wsfast.speedups as sp
        from wsfast.speedups.guard import find
        from wsfast.speedups.registry import LIBRARIES
        from wsfast.speedups.aiohttp import TARGET
        parts = [part for part in TARGET.parts if part.trigger in sys.modules]
        where = [slot.where for part in parts for slot in part.slots()]
        before = {each: find(each)[2] for each in where}
        for _ in range(2):
            sp.install("aiohttp", strict=True)
            assert all(find(each)[2] is not before[each] for each in where)
            sp.uninstall("aiohttp")
            assert all(find(each)[2] is before[each] for each in where)
        print(len(where))
    """
    assert python(build, program) == ("5" if build == "pure" else "1")


@both_builds
def test_the_selftest_agrees_with_the_build(build: str) -> None:
    program = """
        import aiohttp, random, wsfast.speedups as sp
        for level in ("kernels", "frames"):
            sp.install("aiohttp", level=level, strict=True)
            for number in range(40):
                sp.registry.library("aiohttp").selftest(random.Random(number))
        print(sp.status("aiohttp")[0].level)
    """
    assert python(build, program) == "frames"


@both_builds
def test_nothing_of_aiohttp_is_imported_by_install(build: str) -> None:
    program = """
        import sys, wsfast.speedups as sp
        sp.install("aiohttp")
        print([each for each in sys.modules if each.split(".")[0] == "aiohttp"])
    """
    assert python(build, program) == "[]"


def test_a_pure_reader_beside_the_compiled_one_is_left_alone() -> None:
    if not COMPILED:
        pytest.skip("this aiohttp has no extensions")
    pure = importlib.import_module(READER)
    before = vars(pure.WebSocketReader)["_feed_data"]
    with speedups.installed("aiohttp", strict=True):
        assert vars(pure.WebSocketReader)["_feed_data"] is before
        assert speedups.status("aiohttp")[0].state == "active"


def test_the_note_says_who_gains() -> None:
    assert "native already" in speedups.status("aiohttp")[0].note


def test_classes_stay_what_they_were() -> None:
    before = reader.WebSocketReader, writer.WebSocketWriter, aiohttp.http.WebSocketWriter
    with speedups.installed("aiohttp", strict=True):
        after = reader.WebSocketReader, writer.WebSocketWriter, aiohttp.http.WebSocketWriter
        assert all(a is b for a, b in zip(before, after, strict=True))
        assert writer.WebSocketWriter._write_websocket_frame.__wsfast__


def test_another_source_is_refused() -> None:
    def changed(self: Any, message: bytes, opcode: int, rsv: int) -> None:
        self.transport.write(message)

    with mock.patch.object(writer.WebSocketWriter, "_write_websocket_frame", changed):
        with speedups.installed("aiohttp"):
            (report,) = speedups.status("aiohttp")
            assert writer.WebSocketWriter._write_websocket_frame is changed
            assert "was not tested" in report.note


@pytest.mark.parametrize("where", sorted(STOOD_FOR))
def test_a_helper_with_another_source_leaves_level_kernels(where: str) -> None:
    program = f"""
        import aiohttp, wsfast.speedups as sp
        from wsfast.speedups.guard import find
        owner, name, real = find({where!r})
        setattr(owner, name, lambda self, *given: real(self, *given))
        sp.install("aiohttp")
        report = sp.status("aiohttp")[0]
        assert {where!r} in report.note, report
        print({FEED_DATA!r} in report.slots, {READER + ":websocket_mask"!r} in report.slots)
    """
    assert python("pure", program) == "False True"


@both_builds
def test_the_workloads_run_and_name_what_they_do(build: str) -> None:
    program = """
        import aiohttp
        from wsfast.speedups.aiohttp import TARGET
        works = TARGET.workloads()
        for work in works:
            work.run()
            work.run()
        assert {each.size for each in works} >= {125, 65536}
        assert len({(each.name, each.size) for each in works}) == len(works)
        print(len(works))
    """
    assert int(python(build, program)) >= 12


def test_the_target_names_the_library() -> None:
    assert TARGET.library == TARGET.package == "aiohttp"
    assert TARGET.tested == ("3.11.18", "3.14.6")


# --- end to end --------------------------------------------------------------------------------


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=1 << 22)
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def talk(compress: int) -> list[Any]:
    """Texts and data of all sizes there and back, over loopback."""
    application = web.Application()
    application.router.add_get("/", echo)
    found: list[Any] = []
    async with TestClient(TestServer(application)) as client:
        async with client.ws_connect("/", compress=compress, max_msg_size=1 << 22) as socket:
            for size in (0, 1, 125, 126, 1000, 65535, 65536, 300_000):
                await socket.send_str("ů" * size)
                await socket.send_bytes(bytes(size))
                for _ in range(2):
                    message = await socket.receive(timeout=30)
                    found.append((type(message), message.type, message.data))
            for number in range(50):
                await socket.send_str(f"message {number}")
            for _ in range(50):
                found.append((await socket.receive(timeout=30)).data)
            await socket.close(code=4000, message=b"done")
            found.append(socket.close_code)
    return found


@pytest.mark.parametrize("compress", [0, 15])
def test_a_client_and_a_server_understand_each_other(compress: int) -> None:
    plain = asyncio.run(talk(compress))
    with speedups.installed("aiohttp", strict=True):
        assert asyncio.run(talk(compress)) == plain
    assert plain[-2] == "message 49"


def test_the_pure_build_understands_itself() -> None:
    directory = os.path.dirname(__file__)
    program = f"""
        import sys, asyncio
        sys.path.insert(0, {directory!r})
        from test_speedups_aiohttp import speedups, talk
        for compress in (0, 15):
            plain = asyncio.run(talk(compress))
            with speedups.installed("aiohttp", strict=True):
                assert len(speedups.status("aiohttp")[0].slots) == 5
                assert asyncio.run(talk(compress)) == plain
        print(len(plain))
    """
    assert python("pure", program) == "67"


def answers_to(raw: bytes, install: bool) -> Callable[[], Any]:
    """What a server answers to bytes that no client of aiohttp sends."""

    async def ask() -> bytes:
        application = web.Application()
        application.router.add_get("/", echo)
        async with TestServer(application) as server:
            stream, out = await asyncio.open_connection("127.0.0.1", server.port)
            out.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await stream.readuntil(b"\r\n\r\n")
            out.write(raw)
            answer = await asyncio.wait_for(stream.read(), 30)
            out.close()
            await out.wait_closed()
            return answer

    def run() -> Any:
        if not install:
            return asyncio.run(ask())
        with speedups.installed("aiohttp", strict=True):
            return asyncio.run(ask())

    return run


@pytest.mark.parametrize(
    "raw",
    [
        b"\x83\x80abcd",
        b"\x81\x82aaaa\x9e\x9e",
        b"\x89\xfe\x00\x7eabcd" + bytes(126),
        b"\xf1\x80abcd",
        b"\x80\x80abcd",
        b"\x88\x82aaaa\x62\x89",
    ],
    ids=["opcode", "utf-8", "long ping", "rsv", "continuation", "close"],
)
def test_a_server_answers_mistakes_as_before(raw: bytes) -> None:
    assert answers_to(raw, install=True)() == answers_to(raw, install=False)()
