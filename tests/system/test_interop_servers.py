"""Our client with the servers of websockets, aiohttp, picows and npm's ws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from system.interop.npm import node_command
from system.interop.ours import connected
from system.interop.payloads import CLOSE_CODES, MESSAGES, NON_ASCII, SUBPROTOCOL, SUBPROTOCOLS
from system.interop.processes import Peer, python_peer, running


class Server(NamedTuple):
    """A foreign server that runs."""

    library: str
    peer: Peer
    url: str


# Node is no program for the sanitizers' libraries, which make asan loads into every process.
WS = pytest.param("ws", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["websockets", "aiohttp", "picows", WS])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    library: str = request.param
    if library == "ws":
        command = node_command("server_ws.mjs", SUBPROTOCOL)
    else:
        pytest.importorskip(library)
        command = python_peer(f"server_{library}.py")
    with running(*command) as (peer, url):
        yield Server(library, peer, url)


def test_messages_come_back_unchanged(server: Server) -> None:
    with connected(server.url) as client:
        for name, message in MESSAGES.items():
            client.ws.send(message)
            assert client.receive() == message, name


def test_messages_sent_at_once_come_back_in_order(server: Server) -> None:
    messages = [f"message {number} {NON_ASCII}" for number in range(200)]
    with connected(server.url) as client:
        for message in messages:
            client.ws.send(message)
        assert [client.receive() for _ in messages] == messages


def test_fragments_become_one_message(server: Server) -> None:
    if server.library == "aiohttp":
        pytest.skip("aiohttp has no way to send a fragment")
    with connected(server.url) as client:
        client.ws.send("do:fragments Zażółć gęślą jaźń")
        assert client.receive() == "Zażółćgęśląjaźń"


def test_ping_is_answered_with_its_payload(server: Server) -> None:
    with connected(server.url) as client:
        for payload in ("hello", "x" * 125):
            client.ws.send(f"do:ping {payload}")
            assert client.receive() == f"pong {payload}"


def test_our_ping_is_answered_with_its_payload(server: Server) -> None:
    with connected(server.url) as client:
        client.ping(b"are you there?")
        client.ping(bytes(125))


def test_subprotocol(server: Server) -> None:
    for offered, chosen in SUBPROTOCOLS:
        with connected(server.url, offered) as client:
            assert client.wait_open() == chosen


def test_client_closes(server: Server) -> None:
    for code in CLOSE_CODES:
        reason = f"enough-{code}-ąę"
        with connected(server.url) as client:
            client.ws.close(code, reason)
            # Whatever it is told, aiohttp answers with a Close of its own: 1000.
            assert client.wait_closed()[0] == (1000 if server.library == "aiohttp" else code)
        server.peer.expect(f"closed {code} {reason}")


def test_server_closes(server: Server) -> None:
    for code in CLOSE_CODES:
        reason = f"go-away-{code}-ąę"
        with connected(server.url) as client:
            client.ws.send(f"do:close {code} {reason}")
            assert client.wait_closed() == (code, reason)
        server.peer.expect(f"closed {code} .*")
