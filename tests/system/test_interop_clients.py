"""Our server with the clients of websockets, aiohttp and picows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from system.interop.clients import CLIENTS, Client
from system.interop.payloads import CLOSE_CODES, MESSAGES, NON_ASCII, SUBPROTOCOLS
from system.interop.processes import DEADLINE_SECONDS, Peer, python_peer, running

Dialogue = Callable[[Client], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Peer, str]]:
    with running(*python_peer("server_wsfast.py")) as peer_and_url:
        yield peer_and_url


@pytest.fixture(params=CLIENTS)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


def converse(library: str, url: str, dialogue: Dialogue, *subprotocols: str) -> None:
    """Connect and hold one dialogue, all within the deadline."""

    async def hold() -> None:
        await dialogue(await CLIENTS[library](url, subprotocols))

    asyncio.run(asyncio.wait_for(hold(), DEADLINE_SECONDS))


async def leave(client: Client) -> None:
    await client.close(1000, "")
    await client.wait_closed()


def test_messages_come_back_unchanged(library: str, server: tuple[Peer, str]) -> None:
    async def dialogue(client: Client) -> None:
        for name, message in MESSAGES.items():
            await client.send(message)
            assert await client.receive() == message, name
        await leave(client)

    converse(library, server[1], dialogue)


def test_messages_sent_at_once_come_back_in_order(library: str, server: tuple[Peer, str]) -> None:
    async def dialogue(client: Client) -> None:
        messages = [f"message {number} {NON_ASCII}" for number in range(200)]
        for message in messages:
            await client.send(message)
        assert [await client.receive() for _ in messages] == messages
        await leave(client)

    converse(library, server[1], dialogue)


def test_fragments_become_one_message(library: str, server: tuple[Peer, str]) -> None:
    if library == "aiohttp":
        pytest.skip("aiohttp has no way to send a fragment")

    async def dialogue(client: Client) -> None:
        parts = ["Zażółć ", "", "gęślą ", "jaźń"]
        await client.send_fragments(parts)
        assert await client.receive() == "".join(parts)
        await leave(client)

    converse(library, server[1], dialogue)


def test_ping_is_answered_with_its_payload(library: str, server: tuple[Peer, str]) -> None:
    async def dialogue(client: Client) -> None:
        await client.ping(b"are you there?")
        await client.ping(bytes(125))
        await leave(client)

    converse(library, server[1], dialogue)


def test_our_ping_is_answered_with_its_payload(library: str, server: tuple[Peer, str]) -> None:
    async def dialogue(client: Client) -> None:
        await client.send("do:ping hello")
        assert await client.receive() == "pong hello"
        await leave(client)

    converse(library, server[1], dialogue)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    SUBPROTOCOLS,
    ids=["none", "foreign", "known"],
)
def test_subprotocol(
    library: str, server: tuple[Peer, str], offered: tuple[str, ...], chosen: str | None
) -> None:
    async def dialogue(client: Client) -> None:
        assert client.subprotocol == chosen
        await leave(client)

    converse(library, server[1], dialogue, *offered)


@pytest.mark.parametrize("code", CLOSE_CODES)
def test_client_closes(library: str, server: tuple[Peer, str], code: int) -> None:
    peer, url = server
    reason = f"enough-{library}-ąę"

    async def dialogue(client: Client) -> None:
        await client.close(code, reason)
        assert (await client.wait_closed())[0] == code

    converse(library, url, dialogue)
    peer.expect(f"closed {code} {reason}")


@pytest.mark.parametrize("code", CLOSE_CODES)
def test_server_closes(library: str, server: tuple[Peer, str], code: int) -> None:
    peer, url = server
    reason = f"go-away-{library}-ąę"

    async def dialogue(client: Client) -> None:
        await client.send(f"do:close {code} {reason}")
        assert await client.wait_closed() == (code, reason)

    converse(library, url, dialogue)
    # Whatever it is told, aiohttp answers with a Close of its own: 1000.
    answer = 1000 if library == "aiohttp" else code
    peer.expect(f"closed {answer} .*")
