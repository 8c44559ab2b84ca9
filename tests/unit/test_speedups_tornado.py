"""Tornado with the speedups in: what is replaced in which build, when, and end to end."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import textwrap
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("tornado")

import tornado
from tornado import httpclient, httpserver, netutil, web, websocket
from tornado.websocket import WebSocketProtocol13, websocket_connect

from wsfast import speedups
from wsfast.speedups import tornado as described
from wsfast.speedups.guard import find
from wsfast.speedups.selftest import frame_bytes
from wsfast.speedups.tornado import STOOD_FOR, TARGET
from wsfast.speedups.tornado_selftest import PROTOCOL, Link, parameters

MASKS = {f"tornado.{each}:_websocket_mask" for each in ("websocket", "util", "web")}
WRITE_FRAME, RECEIVE_FRAME = PROTOCOL + "_write_frame", PROTOCOL + "_receive_frame"
FRAMES = MASKS | {WRITE_FRAME, RECEIVE_FRAME}

pytestmark = pytest.mark.skipif(
    tornado.version_info < described.WITH_PLAIN_BUFFER, reason="a tornado before 6.3"
)
both_builds = pytest.mark.parametrize("extension", ["", "0"], ids=["compiled", "pure"])


def python(extension: str, program: str) -> str:
    """What a program prints in a new interpreter, with or without Tornado's extension."""
    environment = {**os.environ, "TORNADO_EXTENSION": extension, "WSFAST_SPEEDUPS": ""}
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


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    before = {each: find(each)[2] for each in FRAMES}
    for _ in range(2):
        with speedups.installed("tornado", level=level, strict=True):
            (report,) = speedups.status("tornado")
            changed = {where for where, value in before.items() if find(where)[2] is not value}
            assert report.level == level and report.state == "active"
            assert changed == set(report.slots) == (MASKS if level == "kernels" else FRAMES)
        assert all(find(where)[2] is value for where, value in before.items())


@both_builds
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_it_is_installed_whether_imported_before_or_after(late: bool, extension: str) -> None:
    lines = ["import wsfast.speedups as sp", "sp.install('tornado')"]
    lines.insert(0 if late else 2, "import tornado.websocket")
    program = "\n".join([*lines, "print(*sp.status('tornado')[0].slots)"])
    assert set(python(extension, program).split()) == FRAMES


@both_builds
def test_tornado_without_websockets_is_left_to_itself(extension: str) -> None:
    program = """
        import sys, wsfast.speedups as sp
        sp.install("tornado")
        assert not [each for each in sys.modules if each.split(".")[0] == "tornado"]
        import tornado.iostream
        print(sp.status("tornado")[0].state)
    """
    assert python(extension, program) == "pending"


@both_builds
def test_the_selftest_agrees_with_the_build(extension: str) -> None:
    program = """
        import tornado.websocket, random, wsfast.speedups as sp
        for level in ("kernels", "frames"):
            sp.install("tornado", level=level, strict=True)
            for number in range(20):
                sp.registry.library("tornado").selftest(random.Random(number))
        print(sp.status("tornado")[0].level)
    """
    assert python(extension, program) == "frames"


def test_the_byte_loop_is_gone() -> None:
    """Without the extension a frame of 64 KiB took a hundredth of a second."""
    program = """
        import time, tornado.websocket, wsfast.speedups as sp
        from tornado import util
        assert tornado.websocket._websocket_mask is util._websocket_mask_python

        def seconds():
            start = time.perf_counter()
            tornado.websocket._websocket_mask(b"abcd", bytes(65536))
            return time.perf_counter() - start

        before = min(seconds() for _ in range(3))
        sp.install("tornado", level="kernels", strict=True)
        print(before / min(seconds() for _ in range(3)) > 50)
    """
    assert python("0", program) == "True"


def test_a_class_stays_what_it_was() -> None:
    before = websocket.WebSocketProtocol13, websocket.WebSocketHandler
    with speedups.installed("tornado", strict=True):
        assert (websocket.WebSocketProtocol13, websocket.WebSocketHandler) == before
        assert issubclass(WebSocketProtocol13, websocket.WebSocketProtocol)
        assert not getattr(WebSocketProtocol13, "__abstractmethods__", ())


@pytest.mark.parametrize("name", ["_write_frame", "_receive_frame"])
def test_another_source_leaves_level_kernels(name: str) -> None:
    def changed(self: Any, *arguments: Any) -> None:
        raise OSError

    real = getattr(WebSocketProtocol13, name)
    changed.__signature__ = inspect.signature(real)  # type: ignore[attr-defined]
    with mock.patch.object(WebSocketProtocol13, name, changed):
        with speedups.installed("tornado"):
            (report,) = speedups.status("tornado")
            assert report.level == "kernels"
            assert "was not tested" in report.note


@pytest.mark.parametrize("where", sorted(STOOD_FOR))
def test_a_helper_with_another_source_leaves_level_kernels(where: str) -> None:
    owner, name, real = find(where)

    def changed(self: Any, *arguments: Any) -> Any:
        return real(self, *arguments)

    with mock.patch.object(owner, name, changed):
        with speedups.installed("tornado"):
            (report,) = speedups.status("tornado")
            assert report.level == "kernels"
            assert where in report.note


def test_a_release_with_another_buffer_receives_by_itself() -> None:
    with mock.patch.object(tornado, "version_info", (6, 2, 0, 0)):
        assert RECEIVE_FRAME not in {slot.where for slot in TARGET.parts[0].slots()}
    assert {slot.where for slot in TARGET.parts[0].slots()} == FRAMES


def test_the_workloads_run_and_name_what_they_do() -> None:
    works = TARGET.workloads()
    for work in works:
        work.run()
        work.run()
    assert {each.size for each in works} >= {125, 65536}
    assert len({(each.name, each.size) for each in works}) == len(works)
    assert any(each.frames > 1 for each in works)


def test_a_workload_that_receives_nothing_is_no_workload() -> None:
    link = Link(False, parameters())
    with pytest.raises(RuntimeError):
        described._receive(WebSocketProtocol13, link, frame_bytes(1, b"text")[:-1], 1)


def test_the_target_names_the_library() -> None:
    assert TARGET.library == TARGET.package == "tornado"
    assert TARGET.tested == ("6.1", "6.6.2")


# --- end to end --------------------------------------------------------------------------------


class Echo(websocket.WebSocketHandler):
    """Sends everything back; texts from a coroutine."""

    def initialize(self, compressed: bool) -> None:
        self._compressed = compressed

    def get_compression_options(self) -> dict[str, Any] | None:
        return {} if self._compressed else None

    def on_message(self, message: str | bytes) -> Any:
        if isinstance(message, bytes):
            self.write_message(message, binary=True)
            return None
        return self.later(message)

    async def later(self, message: str) -> None:
        await asyncio.sleep(0)
        await self.write_message(message)


async def serve(compressed: bool) -> tuple[httpserver.HTTPServer, int]:
    application = web.Application([("/", Echo, {"compressed": compressed})])
    server = httpserver.HTTPServer(application)
    sockets = netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    return server, sockets[0].getsockname()[1]


async def talk(compressed: bool) -> list[Any]:
    """Texts and data of all sizes there and back, over loopback."""
    server, port = await serve(compressed)
    request = httpclient.HTTPRequest(f"ws://127.0.0.1:{port}/", request_timeout=30)
    options = {"compression_options": {}} if compressed else {}
    client = await websocket_connect(request, **options)
    found: list[Any] = []
    for size in (0, 1, 125, 126, 1000, 65535, 65536, 300_000):
        await client.write_message("ů" * size)
        await client.write_message(bytes(size), binary=True)
        found += [await client.read_message() for _ in range(2)]
    for number in range(50):
        client.write_message(f"message {number}")
    found += [await client.read_message() for _ in range(50)]
    client.close(4000, "done")
    found += [await client.read_message(), client.close_code]
    server.stop()
    await server.close_all_connections()
    await asyncio.sleep(0)
    return found


@pytest.mark.parametrize("compressed", [False, True])
def test_a_client_and_a_server_understand_each_other(compressed: bool) -> None:
    plain = asyncio.run(talk(compressed))
    with speedups.installed("tornado", strict=True):
        assert asyncio.run(talk(compressed)) == plain
    assert plain[-3:] == ["message 49", None, 4000]


def test_without_the_extension_they_understand_each_other() -> None:
    directory = os.path.dirname(__file__)
    program = f"""
        import sys, asyncio
        sys.path.insert(0, {directory!r})
        from test_speedups_tornado import speedups, talk
        with speedups.installed("tornado", strict=True):
            print(len(asyncio.run(talk(False))))
    """
    assert python("0", program) == "68"


async def answer_to(raw: bytes) -> bytes:
    """What a server answers to bytes that no client of Tornado sends."""
    server, port = await serve(False)
    stream, out = await asyncio.open_connection("127.0.0.1", port)
    out.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await stream.readuntil(b"\r\n\r\n")
    out.write(frame_bytes(2, b"before", masking_key=b"abcd") + raw)
    answer = await asyncio.wait_for(stream.read(), 30)
    out.close()
    await out.wait_closed()
    server.stop()
    await server.close_all_connections()
    return answer


@pytest.mark.parametrize(
    "raw",
    [
        b"\x83\x80abcd",
        b"\x81\x82aaaa\x9e\x9e",
        b"\x89\xfe\x00\x7eabcd" + bytes(126),
        b"\xf1\x80abcd",
        b"\x80\x80abcd",
        b"\x88\x82aaaa\x62\x89",
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd",
    ],
    ids=["opcode", "utf-8", "long ping", "rsv", "continuation", "close", "length"],
)
def test_a_server_answers_mistakes_as_before(raw: bytes) -> None:
    plain = asyncio.run(answer_to(raw))
    with speedups.installed("tornado", strict=True):
        assert asyncio.run(answer_to(raw)) == plain
