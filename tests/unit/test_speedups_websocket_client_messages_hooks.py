"""websocket-client's messages: whoever overrides or patches something is still asked."""

from __future__ import annotations

import logging
import pickle
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websocket")

import websocket
from websocket import ABNF, WebSocket

from websocket_client_wire import Wire, connected, served
from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes
from wsfast.speedups.websocket_client_frames import Frames
from wsfast.speedups.websocket_client_messages import Messages

KEY = b"\x12\x34\x56\x78"


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    """The speedups are in."""
    with speedups.installed("websocket-client", level="frames", strict=True):
        yield


@pytest.fixture
def pair() -> Iterator[tuple[Any, socket.socket]]:
    """A WebSocket over a real socket, and the other end."""
    near, far = socket.socketpair()
    with near, far:
        far.settimeout(10)
        yield connected(near), far


# --- who is still asked --------------------------------------------------------------------------


@pytest.mark.parametrize("token", [KEY, "abcd"])
def test_the_connection_s_own_keys_are_used(token: Any) -> None:
    wire = Wire()
    keys = mock.Mock(return_value=token)
    connection = connected(wire, get_mask_key=keys)
    connection.send("hello")
    keys.assert_called_once_with(4)
    assert wire.sent[2:6] == (token if isinstance(token, bytes) else token.encode())
    connection.set_mask_key(None)
    connection.send("hello")
    keys.assert_called_once_with(4)


def test_a_random_source_that_was_patched_is_asked() -> None:
    wire = Wire()
    with mock.patch("os.urandom", return_value=KEY) as urandom:
        connected(wire).send("hello")
    urandom.assert_called_once_with(4)
    assert wire.sent == frame_bytes(1, b"hello", masking_key=KEY)


def test_no_two_keys_are_the_same() -> None:
    wire = Wire()
    connection = connected(wire)
    for _ in range(200):
        connection.send("")
    assert len({bytes(wire.sent[i + 2 : i + 6]) for i in range(0, 1200, 6)}) == 200


@pytest.mark.parametrize("name", ["recv_data", "recv_data_frame", "recv_frame"])
def test_a_subclass_that_overrides_is_called(name: str) -> None:
    calls = []

    class Mine(WebSocket):
        pass

    def override(self: Any, *arguments: Any) -> Any:
        calls.append(name)
        return getattr(WebSocket, name)(self, *arguments)

    setattr(Mine, name, override)
    connection: Any = Mine()
    connection.sock = Wire(frame_bytes(1, b"hello"))
    assert not served(connection)
    assert connection.recv() == "hello"
    assert calls == [name]


def test_a_subclass_that_overrides_nothing_of_it_is_fast() -> None:
    class Mine(WebSocket):
        def recv(self) -> Any:
            return super().recv().upper()

        def on_open(self) -> None:
            """Its own."""

    connection: Any = Mine()
    connection.sock = Wire(frame_bytes(1, b"hello"))
    assert served(connection)
    assert connection.recv() == "HELLO"


@pytest.mark.parametrize("name", ["send_frame", "_send"])
def test_a_subclass_that_overrides_sending_is_called(name: str) -> None:
    calls = []

    class Mine(WebSocket):
        pass

    def override(self: Any, argument: Any) -> Any:
        calls.append(argument)
        return getattr(WebSocket, name)(self, argument)

    setattr(Mine, name, override)
    connection: Any = Mine()
    connection.sock = Wire()
    connection.send("hello")
    assert [type(each) for each in calls] == [ABNF if name == "send_frame" else bytes]


@pytest.mark.parametrize("name", ["recv_data", "recv_data_frame", "recv_frame", "pong"])
def test_a_method_of_the_instance_is_called(name: str) -> None:
    connection = connected(Wire(frame_bytes(9, b"") + frame_bytes(1, b"hello")))
    original = getattr(connection, name)
    setattr(connection, name, mock.Mock(side_effect=original))
    assert connection.recv() == "hello"
    assert getattr(connection, name).called


@pytest.mark.parametrize("name", ["recv_data_frame", "recv_frame", "_recv"])
def test_a_method_that_was_patched_is_called(name: str) -> None:
    original = getattr(WebSocket, name)
    spy = mock.Mock(side_effect=original)
    with mock.patch.object(WebSocket, name, lambda *given: spy(*given)):
        connection = connected(Wire(frame_bytes(1, b"hello")))
        assert connection.recv() == "hello"
    assert spy.called


@pytest.mark.parametrize("name", ["validate", "add", "is_fire", "extract"])
def test_a_method_of_continuous_frame_that_was_patched_is_called(name: str) -> None:
    from websocket._abnf import continuous_frame

    original = getattr(continuous_frame, name)
    spy = mock.Mock(side_effect=original)
    with mock.patch.object(continuous_frame, name, lambda *given: spy(*given)):
        assert connected(Wire(frame_bytes(1, b"hello"))).recv() == "hello"
        assert connected(Wire(frame_bytes(2, b"hello"))).recv_data() == (2, b"hello")
    assert spy.call_count == 2


@pytest.mark.parametrize("name", ["recv", "send"])
def test_a_function_of_the_core_that_was_patched_is_called(
    pair: tuple[Any, socket.socket], name: str
) -> None:
    connection, far = pair
    far.sendall(frame_bytes(1, b"hello"))
    original = getattr(websocket._core, name)
    with mock.patch(f"websocket._core.{name}", side_effect=original) as patched:
        assert connection.recv() == "hello"
        connection.send("hello")
    assert patched.called


def test_a_socket_class_that_was_patched_is_called(pair: tuple[Any, socket.socket]) -> None:
    connection, _ = pair
    with mock.patch.object(socket.socket, "recv", side_effect=[b"\x81\x02", b"hi"], create=True):
        assert connection.recv() == "hi"


def test_a_dispatcher_sends() -> None:
    dispatcher = mock.Mock()
    dispatcher.send.side_effect = lambda sock, data: sock.send(data)
    wire = Wire()
    connection = connected(wire)
    connection.dispatcher = dispatcher
    connection.send("hello")
    if "dispatcher" in WebSocket.__init__.__code__.co_varnames:  # since 1.9
        dispatcher.send.assert_called_once()
    assert wire.frames() == [(1, b"hello")]


def test_every_frame_is_traced(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(frame_bytes(9, b"p") + frame_bytes(1, b"a", fin=False) + frame_bytes(0, b"b"))
    connection = connected(wire)
    with caplog.at_level(logging.DEBUG, logger="websocket"):
        websocket.enableTrace(True, handler=logging.NullHandler())
        try:
            assert connection.recv() == "ab"
            connection.send("c")
        finally:
            websocket.enableTrace(False)
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in told] == [
        *("++Rcv raw", "++Rcv decoded"),
        *("++Sent raw", "++Sent decoded"),
        *("++Rcv raw", "++Rcv decoded") * 2,
        *("++Sent raw", "++Sent decoded"),
    ]
    assert told[0] == f"++Rcv raw: {frame_bytes(9, b'p')!r}"
    assert told[1].startswith("++Rcv decoded: fin=1 opcode=9 data=")


def test_without_locks() -> None:
    wire = Wire(frame_bytes(1, b"hello"))
    connection = connected(wire, enable_multithread=False)
    assert connection.recv() == "hello"
    connection.send("hello")
    assert wire.frames() == [(1, b"hello")]


def test_locks_are_free_after_an_error() -> None:
    connection = connected(Wire(frame_bytes(3, b"")))
    with pytest.raises(websocket.WebSocketProtocolException):
        connection.recv()
    for lock in (connection.readlock, connection.frame_buffer.lock, connection.lock):
        assert not lock.locked()


def test_more_attributes_on_a_connection_are_no_harm() -> None:
    connection = connected(Wire(frame_bytes(1, b"hello")))
    connection.mine = 1
    assert served(connection)
    assert connection.recv() == "hello"


def test_frames_can_be_pickled() -> None:
    frame = connected(Wire(frame_bytes(1, b"hello"))).recv_frame()
    copy = pickle.loads(pickle.dumps(frame))
    assert type(copy) is ABNF and vars(copy) == vars(frame)


def test_an_ssl_socket_is_read_and_written(pair: tuple[Any, socket.socket]) -> None:
    """What is known of ssl.SSLSocket is that recv and send do what those of a socket do."""
    connection, _ = pair
    context = ssl.create_default_context()
    near, far = socket.socketpair()
    with near, far:
        wrapped = context.wrap_socket(near, server_hostname="x", do_handshake_on_connect=False)
        with wrapped:
            connection.sock = wrapped
            with (
                mock.patch.object(ssl.SSLSocket, "recv", side_effect=[b"\x81\x02", b"hi"]),
                mock.patch.object(ssl.SSLSocket, "send", side_effect=lambda data: len(data)),
            ):
                assert connection.recv() == "hi"
                assert connection.send("hello") == 11


def test_ssl_that_wants_to_be_asked_again() -> None:
    near, far = socket.socketpair()
    with (
        near,
        far,
        ssl.create_default_context().wrap_socket(
            near, server_hostname="x", do_handshake_on_connect=False
        ) as wrapped,
    ):
        connection = connected(wrapped)
        far.send(b"something to wait for")
        results = [ssl.SSLWantReadError(), b"\x81\x02", ssl.SSLWantReadError(), b"hi"]
        with mock.patch.object(ssl.SSLSocket, "recv", side_effect=results):
            assert connection.recv() == "hi"


def test_messages_need_frames() -> None:
    with pytest.raises(TypeError):
        Messages(None)  # type: ignore[arg-type]
    assert Messages(Frames()).serves(WebSocket())
