"""TLS under the transport of a server, over real sockets; the other end is the ssl module's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import types
from collections.abc import Iterator
from typing import Any

import pytest

from certificates import authority, client, secure_open, secure_peer, server
from sockets import (
    MORE_THAN_THE_KERNEL_TAKES,
    Net,
    Recorder,
    goodbye,
    network,
    request_head,
    text,
)
from wire import BINARY, CLOSE, KEY, PING, PONG, STEPS, TEXT, frame
from wsfast.errors import TlsFailed
from wsfast.tls import TlsSession
from wsfast.tlsconfig import TlsServer


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def failures(handler: Recorder) -> list[Exception]:
    return [event[1] for event in handler.named("failed")]


# --- a server ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_server_echoes(net: Net, step: int) -> None:
    handler = Recorder(echo=True)
    peer, ws = secure_open(net, handler, step=step)
    peer.send(text("one") + frame(PING, b"p", key=KEY) + frame(BINARY, bytes(300), key=KEY))
    peer.expect((TEXT, b"one"), (PONG, b"p"), (BINARY, bytes(300)))
    assert handler.messages == ["one", bytes(300)]
    assert ws.secure
    assert ws.buffered_bytes == 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_a_server_knows_of_its_session(net: Net, version: str) -> None:
    requests = []
    handler = Recorder(echo=True)
    handler.on_upgrade = requests.append
    tls = server(minimum_version=version, maximum_version=version)
    _, ws = secure_open(net, handler, tls=tls)
    assert ws.tls.version == f"TLSv{version}"
    assert ws.tls.cipher == ws.tls.ssl_object.cipher()[0]
    assert ws.tls.alpn == "http/1.1"
    assert ws.tls.peer_certificate is None
    assert ws.tls.established
    assert ws.tls.error is None
    assert requests[0].tls is ws.tls
    assert requests[0].secure


def test_a_plain_connection_is_not_secure(net: Net) -> None:
    handler = Recorder()
    requests = []
    handler.on_upgrade = requests.append
    _, ws = net.open(handler)
    assert not ws.secure
    assert ws.tls is None
    assert not requests[0].secure


def test_many_records_in_one_segment_come_in_order(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, _ = secure_open(net, handler)
    words = [f"message {number}" for number in range(500)]
    for word in words:
        peer.ssl.write(text(word))
    peer.send_records(peer.leaving.read())
    net.until(lambda: len(peer.frames) == len(words))
    assert handler.messages == words
    assert [payload.decode() for _, payload in peer.frames] == words


def test_a_frame_cut_by_records(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, _ = secure_open(net, handler)
    for byte in text("cut everywhere"):
        peer.ssl.write(bytes([byte]))
    peer.send_records(peer.leaving.read())
    peer.expect((TEXT, b"cut everywhere"))


@pytest.mark.parametrize("size", [16383, 16384, 16385, 65536, 100_000, 250_000, 1 << 20])
def test_large_messages(net: Net, size: int) -> None:
    handler = Recorder(echo=True)
    peer, _ = secure_open(net, handler)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    peer.send(frame(BINARY, payload, key=KEY))
    net.until(lambda: peer.frames)
    assert peer.frames == [(BINARY, payload)]


def test_small_beside_large_stays_in_order(net: Net) -> None:
    handler = Recorder(message=lambda ws, message: [ws.send("a"), ws.send(large), ws.send("b")])
    large = bytes(200_000)
    peer, _ = secure_open(net, handler)
    peer.send(text("go"))
    net.until(lambda: len(peer.frames) == 3)
    assert peer.frames == [(TEXT, b"a"), (BINARY, large), (TEXT, b"b")]


def test_sending_outside_of_the_own_turn(net: Net) -> None:
    handler = Recorder()
    peer, ws = secure_open(net, handler)
    assert ws.send("one") and ws.send("two")
    assert ws.buffered_bytes == 10
    peer.expect((TEXT, b"one"), (TEXT, b"two"))
    assert ws.buffered_bytes == 0


def test_a_view_of_what_was_decrypted_stays_valid(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler, views=True)
    peer.send(frame(BINARY, b"first" * 10, key=KEY))
    net.until(lambda: handler.messages)
    peer.send(frame(BINARY, b"other" * 10, key=KEY))
    net.until(lambda: len(handler.messages) == 2)
    assert [bytes(view) for view in handler.messages] == [b"first" * 10, b"other" * 10]


def test_a_slow_reader(net: Net) -> None:
    """The queue counts what is encrypted, reading stops, and everything arrives in the end."""
    handler = Recorder(echo=True)
    peer, ws = secure_open(net, handler, max_queue_bytes=64 << 20)
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.buffered_bytes > 256 * 1024
    peer.send(text("not read yet"))
    net.settle()
    assert handler.messages == []
    ws.send("behind it")
    peer.read()
    net.until(lambda: len(peer.received) > len(MORE_THAN_THE_KERNEL_TAKES) + 20)
    net.until(lambda: handler.named("drain") and handler.messages)
    net.until(lambda: ws.buffered_bytes == 0)
    net.settle()
    assert len(peer.frames[0][1]) == len(MORE_THAN_THE_KERNEL_TAKES)
    assert peer.frames[1:] == [(TEXT, b"behind it"), (TEXT, b"not read yet")]


def test_a_peer_that_never_reads_is_given_up(net: Net) -> None:
    handler = Recorder()
    peer, ws = secure_open(net, handler, max_queue_bytes=1 << 20)
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.send("one more") is False
    assert handler.closes == [(1006, "")]


# --- the end -------------------------------------------------------------------------------------


def test_the_closing_handshake_ends_with_close_notify(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler)
    peer.send(goodbye())
    net.until(lambda: peer.ended)
    assert peer.frames == [(CLOSE, (1000).to_bytes(2, "big"))]
    assert peer.notified
    assert peer.error is None
    assert handler.closes == [(1000, "")]


def test_a_failed_connection_says_close_then_close_notify(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler)
    peer.send(text("good") + frame(TEXT, b"not masked") + text("x" * 1000))
    net.until(lambda: peer.ended)
    assert handler.messages == ["good"]
    assert peer.notified
    assert peer.error is None
    assert peer.frames[-1][1][:2] == (1002).to_bytes(2, "big")


def test_the_peers_close_notify_ends_its_direction(net: Net) -> None:
    handler = Recorder(echo=True)
    peer, _ = secure_open(net, handler)
    peer.ssl.write(text("last words"))
    peer.say_goodbye()
    net.until(lambda: handler.closes)
    assert handler.names() == ["open", "message", "close"]
    assert handler.closes == [(1006, "")]
    net.until(lambda: peer.ended)
    assert peer.frames == [(TEXT, b"last words")]


def test_close_notify_alone(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler)
    peer.say_goodbye()
    net.until(lambda: peer.ended)
    assert handler.closes == [(1006, "")]
    assert peer.notified


def test_close_frame_and_close_notify_in_one_segment(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler)
    peer.ssl.write(goodbye(1001))
    peer.say_goodbye()
    net.until(lambda: peer.ended)
    assert handler.closes == [(1001, "")]


def test_truncation_is_1006(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler)
    peer.send(text("whole"))
    net.until(lambda: handler.messages)
    peer.socket.shutdown(socket.SHUT_WR)
    net.until(lambda: peer.ended)
    assert handler.closes == [(1006, "")]


def test_a_cut_record_is_1006_and_not_delivered(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler)
    peer.ssl.write(text("never complete"))
    peer.send_records(peer.leaving.read()[:-1])
    peer.socket.shutdown(socket.SHUT_WR)
    net.until(lambda: peer.ended)
    assert handler.names() == ["open", "close"]


def test_a_reset_is_1006(net: Net) -> None:
    handler = Recorder()
    peer, _ = secure_open(net, handler)
    peer.reset()
    net.until(lambda: handler.closes)
    assert handler.closes == [(1006, "")]


@pytest.mark.parametrize("step", STEPS)
def test_a_forged_record_fails_behind_what_was_good(net: Net, step: int) -> None:
    handler = Recorder()
    peer, ws = secure_open(net, handler, step=step)
    peer.ssl.write(text("good"))
    good = peer.leaving.read()
    peer.ssl.write(text("forged"))
    forged = bytearray(peer.leaving.read())
    forged[-1] ^= 1
    peer.send_records(good + bytes(forged))
    net.until(lambda: handler.closes)
    assert handler.names() == ["open", "message", "close"]
    assert handler.closes == [(1006, "")]
    assert isinstance(ws.tls.error, ssl.SSLError)
    net.until(lambda: peer.failure or peer.ended)
    assert peer.failure is not None and "ALERT" in peer.failure.reason


def test_disconnect_inside_a_callback(net: Net) -> None:
    handler = Recorder(message=lambda ws, message: ws.disconnect())
    peer, _ = secure_open(net, handler)
    peer.send(text("one") + text("two"))
    net.until(lambda: peer.ended)
    assert handler.messages == ["one"]


# --- what is no TLS handshake --------------------------------------------------------------------


def test_plain_http_gets_an_answer_in_plain(net: Net) -> None:
    handler = Recorder()
    peer = net.peer(net.server(handler, tls=server()))
    peer.send(request_head())
    net.until(lambda: peer.ended)
    assert peer.error is None
    assert peer.received.startswith(b"HTTP/1.1 400 ")
    assert b"this port speaks TLS" in peer.received
    assert [failure.reason for failure in failures(handler)] == ["HTTP_REQUEST"]


@pytest.mark.parametrize("step", STEPS)
def test_garbage_ends_the_connection(net: Net, step: int) -> None:
    handler = Recorder()
    target = net.server(handler, tls=server())
    peer = net.peer(target)
    peer.send(b"\x16\x03\x01\x00\x05garbage, and more of it", step)
    net.until(lambda: peer.ended)
    (failure,) = failures(handler)
    assert isinstance(failure, TlsFailed)
    assert isinstance(failure.__cause__, ssl.SSLError)
    peer.close()
    net.until(lambda: not target.connections)


def test_a_handler_that_raises_on_a_failed_handshake(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    def boom(ws: object, error: Exception) -> None:
        raise RuntimeError("boom")

    target = net.server(Recorder(failed=boom), tls=server())
    peer = net.peer(target)
    peer.send(b"\x16\x03\x01\x00\x05garbage, and more of it")
    net.until(lambda: peer.ended)
    assert "boom" in caplog.text


def test_leaving_during_the_handshake(net: Net) -> None:
    handler = Recorder()
    target = net.server(handler, tls=server())
    peer = secure_peer(net, target)
    peer.close()
    net.until(lambda: failures(handler))
    assert "during the TLS handshake" in str(failures(handler)[0])
    assert not target.connections


def test_leaving_after_it_without_a_request(net: Net) -> None:
    handler = Recorder()
    peer = secure_peer(net, net.server(handler, tls=server())).secure()
    peer.close()
    net.until(lambda: failures(handler))
    assert not isinstance(failures(handler)[0], TlsFailed)


def test_dribbling_does_not_move_the_deadline(net: Net) -> None:
    """Half a ClientHello, a byte a turn: the deadline of the opening cuts it."""
    handler = Recorder()
    target = net.server(handler, tls=server(), opening_seconds=0.5)
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client().context.wrap_bio(ssl.MemoryBIO(), hello, False, "127.0.0.1").do_handshake()
    peer = net.peer(target)
    for byte in hello.read()[:-1]:
        with contextlib.suppress(OSError):  # it may have been cut by now
            peer.socket.send(bytes([byte]))
        net.loop.selector.select(0.002)
    net.until(lambda: failures(handler))
    assert "took longer than 0.5 s" in str(failures(handler)[0])


# --- signals -------------------------------------------------------------------------------------


class Interrupted:
    """The core of a session, in whose named method a signal handler raises once it is armed."""

    armed = ""

    def __init__(self, core: Any) -> None:
        self.core = core

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            result = getattr(self.core, name)(*arguments)
            if name == Interrupted.armed:
                raise KeyboardInterrupt
            return result

        return call


class Interrupting(ssl.SSLContext):
    """A context whose sessions can be interrupted."""

    def wrap_bio(self, *arguments: Any, **options: Any) -> Any:
        made = super().wrap_bio(*arguments, **options)
        return types.SimpleNamespace(_sslobj=Interrupted(made._sslobj), made=made)


@pytest.mark.parametrize("method", ["read", "write"])
def test_a_signal_handler_that_raises_breaks_the_connection_off(
    net: Net, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the call had in hand is lost: nothing may follow it as if it were not."""
    context = Interrupting(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority().files)
    handler = Recorder(echo=True)
    peer, ws = secure_open(net, handler, tls=TlsServer(context=context))
    monkeypatch.setattr(Interrupted, "armed", method)
    peer.send(text("in hand"))
    with pytest.raises(KeyboardInterrupt):
        net.until(lambda: False)
    monkeypatch.setattr(Interrupted, "armed", "")
    assert "signal handler" in str(ws.tls.error)
    peer.send(text("what follows"))
    net.until(lambda: handler.closes)
    assert "what follows" not in handler.messages
    assert handler.closes[0][0] == 1006 or method == "write"
    net.until(lambda: peer.ended or peer.failure)
    assert (TEXT, b"what follows") not in peer.frames


# --- the session itself --------------------------------------------------------------------------


def test_a_context_of_the_other_role_is_refused() -> None:
    with pytest.raises(ssl.SSLError):
        TlsSession(client().context, server_side=True)
    with pytest.raises(ValueError, match="server_hostname is None"):
        TlsSession(client().context, server_side=False)


def test_a_session_before_its_handshake() -> None:
    session = TlsSession(client().context, server_side=False, server_hostname="localhost")
    assert session.version is None or session.version.startswith("TLS")
    assert session.cipher is None
    assert session.alpn is None
    assert session.peer_certificate is None
    assert not session.established
