"""wsfast.loadgen.witness: an independent clock on an echo, checked against a server of another."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

witness = pytest.importorskip("wsfast.loadgen.witness")
server = pytest.importorskip("websockets.sync.server")


@contextlib.contextmanager
def serving(handler):
    """The URL of a server of websockets that runs in a thread."""
    with server.serve(handler, "127.0.0.1", 0, compression=None) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield "ws://{}:{}/".format(*running.socket.getsockname())
        finally:
            running.shutdown()
            thread.join(10)


def echo(ws):
    for message in ws:
        ws.send(message)


def late_echo(ws):
    for message in ws:
        time.sleep(0.02)
        ws.send(message)


def liar(ws):
    for message in ws:
        ws.send(message[::-1])


def leaver(ws):
    ws.recv()
    ws.socket.shutdown(socket.SHUT_RDWR)


def test_a_round_trip_takes_its_time():
    with serving(echo) as url:
        start = time.perf_counter_ns()
        assert 1_000 < witness.median_round_trip(url, 0.1) < time.perf_counter_ns() - start


def test_the_time_that_the_server_takes_is_in_it():
    with serving(late_echo) as url:
        assert witness.median_round_trip(url, 0.1) >= 20_000_000


def test_one_message_is_sent_at_least():
    with serving(late_echo) as url:
        assert witness.median_round_trip(url, 0.0) >= 20_000_000


def test_another_answer_is_none():
    with serving(liar) as url, pytest.raises(OSError, match="the answer to .* is "):
        witness.median_round_trip(url, 0.1)


def test_a_server_that_leaves():
    with serving(leaver) as url, pytest.raises(OSError):
        witness.median_round_trip(url, 5.0)


def test_a_refusal():
    def process_request(connection, request):
        return connection.respond(403, "not here")

    with server.serve(echo, "127.0.0.1", 0, process_request=process_request) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            url = "ws://{}:{}/".format(*running.socket.getsockname())
            with pytest.raises(OSError, match="answered b'HTTP/1.1 403 .*not 101"):
                witness.median_round_trip(url, 0.1)
        finally:
            running.shutdown()
            thread.join(10)


def test_nobody_there():
    with socket.socket() as held:  # so that nobody else listens there
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            witness.median_round_trip(f"ws://127.0.0.1:{port}/", 0.1)
