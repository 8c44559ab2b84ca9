"""autobahn with the speedups in: what is replaced, when, how deep, and over a real socket."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("autobahn")

from autobahn.asyncio import websocket as adapters
from autobahn.websocket import protocol, utf8validator, xormasker
from autobahn.websocket.protocol import WebSocketProtocol

from wsfast import speedups
from wsfast.speedups import autobahn
from wsfast.speedups.autobahn import FORWARDERS, HOOKS, TARGET, Plans
from wsfast.speedups.guard import Refused, fingerprint
from wsfast.speedups.masker import XorMasker, XorMaskerNull
from wsfast.speedups.validator import Utf8Validator

KERNELS: list[tuple[Any, str]] = [
    (module, name)
    for module, names in (
        (protocol, ("create_xor_masker", "XorMaskerNull", "Utf8Validator")),
        (xormasker, ("create_xor_masker", "XorMaskerNull")),
        (utf8validator, ("Utf8Validator",)),
    )
    for name in names
]
FRAMES: list[tuple[Any, str]] = [
    (WebSocketProtocol, name) for name in ("processData", "sendData", "sendFrame", "sendMessage")
]


def held(places: list[tuple[Any, str]]) -> list[Any]:
    return [vars(owner)[name] for owner, name in places]


def in_another_process(code: str, **environment: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- what is replaced --------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    kernels, frames = held(KERNELS), held(FRAMES)
    with speedups.installed("autobahn", level=level, strict=True):
        (report,) = speedups.status("autobahn")
        assert (report.state, report.level) == ("active", level)
        assert all(a is not b for a, b in zip(kernels, held(KERNELS), strict=True))
        replaced = [a is not b for a, b in zip(frames, held(FRAMES), strict=True)]
        assert replaced == [level == "frames"] * 4
        assert len(report.slots) == 6 + sum(replaced)
    assert held(KERNELS) == kernels and held(FRAMES) == frames


def test_the_kernels_are_ours() -> None:
    with speedups.installed("autobahn", level="kernels", strict=True):
        for module in (protocol, xormasker):
            assert type(module.create_xor_masker(b"four", 5)) is XorMasker
            assert module.XorMaskerNull is XorMaskerNull
        for module in (protocol, utf8validator):
            assert module.Utf8Validator is Utf8Validator


def test_replacements_look_like_the_originals() -> None:
    before = held(FRAMES)
    with speedups.installed("autobahn", strict=True):
        for original, ours in zip(before, held(FRAMES), strict=True):
            assert (ours.__name__, ours.__doc__) == (original.__name__, original.__doc__)
            assert ours.__wrapped__ is original and ours.__module__ == original.__module__
            assert fingerprint(ours) == fingerprint(original)


def test_fast_and_plain_connections_live_side_by_side() -> None:
    """A connection from before goes on with its validator; masking is ours at its next frame."""
    loop = asyncio.new_event_loop()
    with mock.patch.object(protocol.txaio.config, "loop", loop):
        connection = plain_connection(loop)
        old = type(connection.utf8validator)
        with speedups.installed("autobahn", strict=True):
            connection._dataReceived(b"\x81\x84\0\0\0\0text")
            assert type(connection.utf8validator) is old
            assert type(connection.current_frame_masker) is XorMasker
            assert type(plain_connection(loop).utf8validator) is Utf8Validator
        connection._dataReceived(b"\x81\x84\0\0\0\0more")
        assert connection.heard == [b"text", b"more"]
        assert type(connection.current_frame_masker) is not XorMasker
    loop.close()


def plain_connection(loop: asyncio.AbstractEventLoop) -> Any:
    class Connection(adapters.WebSocketServerProtocol):  # type: ignore[misc]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.heard.append(payload)

    connection: Any = Connection()
    connection.heard = []
    connection.factory = adapters.WebSocketServerFactory("ws://127.0.0.1:9", loop=loop)
    connection.factory.setProtocolOptions(openHandshakeTimeout=0)
    connection._connectionMade()
    connection.state, connection.websocket_version = connection.STATE_OPEN, 13
    connection.current_frame, connection.inside_message = None, False
    return connection


# --- when --------------------------------------------------------------------------------------

SHOW = """
from autobahn.websocket import protocol
print(speedups.status("autobahn")[0].state, protocol.Utf8Validator.__module__)
"""


@pytest.mark.parametrize(
    "first", ["speedups.install('autobahn')", "import autobahn.asyncio.websocket"]
)
def test_before_and_after_the_import(first: str) -> None:
    code = f"from wsfast import speedups\n{first}\n"
    code += "import autobahn.asyncio.websocket\nspeedups.install('autobahn', strict=True)\n"
    assert in_another_process(code + SHOW).split() == ["active", "wsfast.speedups.validator"]


@pytest.mark.parametrize("nvx", ["0", "1"])
def test_with_and_without_nvx(nvx: str) -> None:
    if nvx == "1" and importlib.util.find_spec("_nvx_utf8validator") is None:
        pytest.skip("autobahn was built without NVX")
    code = "from wsfast import speedups\nspeedups.install('autobahn', strict=True)\n"
    told = in_another_process(code + SHOW, AUTOBAHN_USE_NVX=nvx)
    assert told.split() == ["active", "wsfast.speedups.validator"]


def test_without_a_framework_chosen() -> None:
    """As applications do that only need autobahn's types; the self-test needs no event loop."""
    code = "from wsfast import speedups\nspeedups.install('autobahn', strict=True)\n"
    code += SHOW + "import txaio\nprint(txaio.using_asyncio, txaio.using_twisted)"
    assert in_another_process(code).split()[2:] == ["False", "False"]


TWISTED = """
import txaio
txaio.use_twisted()
from unittest import mock
from autobahn.twisted import websocket as adapters
from autobahn.websocket import protocol

class Connection(adapters.WebSocketServerProtocol):
    def onMessage(self, payload, isBinary):
        print(payload.decode())

connection = Connection()
connection.factory = adapters.WebSocketServerFactory("ws://127.0.0.1:9")
connection.factory.setProtocolOptions(openHandshakeTimeout=0)
connection.transport = mock.Mock()
connection._connectionMade()
connection.state, connection.websocket_version = connection.STATE_OPEN, 13
connection.current_frame, connection.inside_message = None, False
with mock.patch.object(protocol.txaio, "create_future", side_effect=AssertionError):
    connection._dataReceived(b"\\x81\\x84\\0\\0\\0\\0text")
with mock.patch.object(protocol, "hltype", side_effect=AssertionError):
    connection.sendMessage(b"answer")
print(connection.transport.write.call_args.args[0].hex())
"""


def test_connections_of_twisted_take_our_path() -> None:
    pytest.importorskip("twisted.internet", reason="Twisted is not installed")
    code = "from wsfast import speedups\nspeedups.install('autobahn', strict=True)\n"
    assert in_another_process(code + TWISTED).split() == ["text", b"\x81\x06answer".hex()]


# --- how deep ----------------------------------------------------------------------------------


def test_the_sources_that_processdata_stands_for_are_known() -> None:
    for name, known in HOOKS.items():
        assert fingerprint(vars(WebSocketProtocol)[name]) in known
    for name, known in FORWARDERS.items():
        assert fingerprint(vars(adapters.WebSocketAdapterProtocol)[name]) in known


@pytest.mark.parametrize("name", HOOKS)
def test_another_source_of_a_hook_steps_back_to_kernels(name: str) -> None:
    def changed(self: Any) -> str:
        return "another version"

    with mock.patch.object(WebSocketProtocol, name, changed):
        with speedups.installed("autobahn"):
            (report,) = speedups.status("autobahn")
            assert (report.state, report.level) == ("active", "kernels")
            assert f"WebSocketProtocol.{name}" in report.note
        with pytest.raises(speedups.SpeedupsError, match=name):
            speedups.install("autobahn", strict=True)
        speedups.uninstall("autobahn")


@pytest.mark.parametrize("name", FORWARDERS)
def test_another_adapter_gets_its_own_frames_only(name: str) -> None:
    def changed(self: Any, *given: Any) -> None:
        getattr(self, name[1:])(*given)

    plans = Plans(WebSocketProtocol)
    assert plans(adapters.WebSocketServerProtocol) is not None
    assert plans(WebSocketProtocol) is None and plans(dict) is None
    with mock.patch.object(adapters.WebSocketAdapterProtocol, name, changed):
        assert Plans(WebSocketProtocol)(adapters.WebSocketClientProtocol) is None


def test_a_hook_that_is_replaced_later_gets_no_plan() -> None:
    plans = Plans(WebSocketProtocol)
    with mock.patch.object(WebSocketProtocol, "onMessageEnd"):
        assert plans(adapters.WebSocketServerProtocol) is NotImplemented
        with pytest.raises(Refused, match="onMessageEnd"):
            Plans(WebSocketProtocol)
    assert plans(adapters.WebSocketServerProtocol) is not NotImplemented


def test_the_parameters_of_wsaccels_factory_are_known_too() -> None:
    """Which is in that place up to 24.4.2 where wsaccel is installed."""
    for module, parameters in (
        ("autobahn.websocket.xormasker", ("mask", "length")),
        ("wsaccel.xormask", ("mask", "len")),
    ):
        with mock.patch.object(xormasker, "create_xor_masker", mock.Mock(__module__=module)):
            assert autobahn._masker_parameters() == parameters


def test_versions() -> None:
    oldest, first_untested = TARGET.tested
    assert (oldest, first_untested) == ("22.7.1", "26.11")


# --- over a socket -----------------------------------------------------------------------------


class Echo(adapters.WebSocketServerProtocol):  # type: ignore[misc]
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class Asking(adapters.WebSocketClientProtocol):  # type: ignore[misc]
    questions: list[tuple[bytes, bool]]
    answers: list[tuple[bytes, bool]]

    def onOpen(self) -> None:
        for payload, is_binary in self.questions:
            self.sendMessage(payload, is_binary, fragmentSize=70_000)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.answers.append((payload, isBinary))
        if len(self.answers) == len(self.questions):
            self.sendClose(1000, "thanks")

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self.over.set_result((wasClean, code, reason))


@pytest.fixture(params=["", "kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    if not request.param:
        yield ""
        return
    with speedups.installed("autobahn", level=request.param, strict=True):
        yield request.param


def test_echo_over_a_socket(level: str) -> None:
    questions = [
        (b"", False),
        ("žluť 漢字".encode(), False),
        (bytes(range(256)) * 2000, True),
        *((f"message {number}".encode(), False) for number in range(50)),
    ]
    loop = asyncio.new_event_loop()
    with mock.patch.object(protocol.txaio.config, "loop", loop):
        told, answers = loop.run_until_complete(converse(loop, questions))
    loop.close()
    assert answers == questions
    assert told == (True, 1000, None)


#: A second is the default: a machine that stalls for longer would make a clean end another one.
NO_TIMEOUTS = {"openHandshakeTimeout": 0, "closeHandshakeTimeout": 0}


async def converse(loop: asyncio.AbstractEventLoop, questions: list[Any]) -> Any:
    serving = adapters.WebSocketServerFactory(loop=loop)
    serving.protocol = Echo
    serving.setProtocolOptions(**NO_TIMEOUTS)
    server = await loop.create_server(serving, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asking = adapters.WebSocketClientFactory(f"ws://127.0.0.1:{port}", loop=loop)
    asking.protocol = Asking
    asking.setProtocolOptions(**NO_TIMEOUTS, serverConnectionDropTimeout=0)
    _, client = await loop.create_connection(asking, "127.0.0.1", port)
    client.questions, client.answers, client.over = questions, [], loop.create_future()
    told = await asyncio.wait_for(client.over, 30)
    server.close()
    await server.wait_closed()
    return told, client.answers
