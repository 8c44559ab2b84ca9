"""Connection.send of websockets' threads, replaced; and whole connections."""

from __future__ import annotations

import contextlib
import inspect
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

from websockets.exceptions import ConcurrencyError, ConnectionClosed, ProtocolError
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from websockets.sync.server import serve

from wsfast import speedups
from wsfast.speedups.websockets_selftest import called_by, unmasked


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("websockets", level="frames", strict=True):
        yield


class Wire:
    """A socket whose writes are remembered, or refused."""

    def __init__(self, real: socket.socket, error: BaseException | None = None) -> None:
        self.real, self.error, self.written = real, error, []  # type: ignore[var-annotated]

    def sendall(self, data: Any) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@contextlib.contextmanager
def opened(
    error: BaseException | None = None, cls: Any = Connection, **options: Any
) -> Iterator[Any]:
    """A connection whose peer never says anything."""
    near, far = socket.socketpair()
    connection = cls(near, Protocol(CLIENT), **options)
    connection.socket = Wire(near, error)
    try:
        yield connection
    finally:
        far.close()
        connection.recv_events_thread.join()
        near.close()


def both(main: Any) -> Any:
    """The same with the speedups as without."""
    plain = main()
    with speedups.installed("websockets", strict=True):
        assert main() == plain
    return plain


def test_it_looks_like_the_original(fast: None) -> None:
    ours: Any = vars(Connection)["send"]
    assert inspect.signature(ours) == inspect.signature(ours.__wrapped__)
    assert (ours.__name__, ours.__qualname__) == ("send", "Connection.send")
    with opened() as connection:
        if ours.__wrapped__.__kwdefaults__:
            with pytest.raises(TypeError):
                connection.send(b"x", True)
        else:
            connection.send(b"x", True)
        with pytest.raises(TypeError):
            connection.send(b"x", txt=True)


def test_a_message_passes_none_of_the_librarys_code(fast: None) -> None:
    with opened() as connection:
        found = called_by(connection.send, "text")
        assert not found & {"send_context", "send_data", "serialize", "send_text"}
        assert unmasked(connection.socket.written[0])[-1] == b"text"  # type: ignore[index]
        assert not connection.protocol_mutex.locked()


@pytest.mark.parametrize("text", [None, True, False])
def test_every_kind_of_message(text: Any) -> None:
    messages: list[Any] = ["", "ascii", "ěšč", b"bytes", bytearray(b"array"), memoryview(b"mem")]
    messages += [memoryview(b"strided")[::2], ["a", "b"], [b"a", b"b"], [], "x" * 70_000]

    def main() -> list[Any]:
        with opened() as connection:
            for message in messages:
                connection.send(message, text=text)
            return [unmasked(each) for each in connection.socket.written]

    assert len(both(main)) == 14


@pytest.mark.parametrize("message", [None, 3, {"a": 1}, [1], ["a", b"b"], "\ud800"])
def test_what_is_no_message(message: Any) -> None:
    def main() -> Any:
        with opened(close_timeout=0) as connection:
            try:
                connection.send(message)
            except (TypeError, ConnectionClosed) as error:
                return type(error), str(error)

    assert both(main)


def test_a_socket_that_fails() -> None:
    error = OSError("broken pipe")

    def main() -> Any:
        with opened(error) as connection:
            try:
                connection.send("lost")
            except ConnectionClosed as closed:
                return str(closed), closed.__cause__

    assert both(main)[1] is error


def test_an_interrupt_leaves_the_lock_open() -> None:
    def main() -> Any:
        with opened(KeyboardInterrupt()) as connection:
            with pytest.raises(KeyboardInterrupt):
                connection.send("lost")
            return connection.protocol_mutex.locked(), connection.state

    assert both(main) == (False, OPEN)


def test_fragments_are_not_interrupted() -> None:
    def main() -> Any:
        with opened() as connection:

            def parts() -> Iterator[str]:
                yield "first"
                with pytest.raises(ConcurrencyError, match="cannot call send while another"):
                    connection.send("between")
                yield "second"

            connection.send(parts())
            return [unmasked(each)[-1] for each in connection.socket.written]  # type: ignore[index]

    assert both(main) == [b"first", b"second", b""]


def test_subclasses_and_patches_are_heard(fast: None) -> None:
    class Loud(Connection):
        def send_data(self) -> None:
            calls.append("send_data")
            super().send_data()

    calls: list[str] = []
    with opened(cls=Loud) as connection:
        calls.clear()
        connection.send("x")
        assert calls == ["send_data"]
        refuse = mock.Mock(side_effect=ProtocolError("patched"))
        with mock.patch.object(connection.protocol, "send_text", refuse):
            with pytest.raises(ProtocolError, match="patched"):
                connection.send("x")


# --- whole connections -------------------------------------------------------------------------


def echo(connection: Any) -> None:
    for message in connection:
        connection.send(message)


@contextlib.contextmanager
def connected(**options: Any) -> Iterator[Any]:
    """A client of a server over loopback."""
    with serve(echo, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with connect(f"ws://127.0.0.1:{port}/", **options) as client:
            yield client
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("compression", ["deflate", None])
def test_an_echo_of_everything(compression: Any) -> None:
    messages: list[Any] = ["", "text", "žluťoučký", b"", b"\xff" * 70_000, "x" * 300_000]

    def main() -> list[Any]:
        with connected(compression=compression, max_size=None) as client:
            found = []
            for message in [*messages, ["in ", "parts"]]:
                client.send(message)
                found.append(client.recv(timeout=30))
            return found

    assert both(main) == [*messages, "in parts"]


def test_many_threads_send(fast: None) -> None:
    with connected(max_queue=None) as client:
        texts = [f"message {number}" for number in range(40)]
        threads = [threading.Thread(target=client.send, args=(each,)) for each in texts]
        for each in threads:
            each.start()
        assert sorted(client.recv(timeout=30) for _ in texts) == sorted(texts)
        for each in threads:
            each.join()


def test_the_warning_for_a_connection_without_a_context() -> None:
    if "legacy" not in inspect.signature(connect).parameters:
        pytest.skip("there is no such warning before websockets 17.1")

    def main() -> Any:
        with connected() as other:
            host, port = other.socket.getpeername()[:2]
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                client = connect(f"ws://{host}:{port}/")
                client.send("warned")
                assert client.recv(timeout=30) == "warned"
                client.close()
            mine = [each for each in caught if each.category is DeprecationWarning]
            return [(str(each.message), each.filename, each.lineno) for each in mine]

    assert len(both(main)) == 1
