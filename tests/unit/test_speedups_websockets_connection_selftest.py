"""The self-tests of websockets' connections find what is wrong, also while a loop is running."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("websockets")

import websockets.asyncio.connection
import websockets.sync.connection
from websockets.asyncio.messages import Assembler

from growth import quickest
from wsfast import speedups
from wsfast.speedups.selftest import Mismatch
from wsfast.speedups.websockets_connection_selftest import asyncio_selftest, sync_selftest

AsyncioConnection = websockets.asyncio.connection.Connection
SyncConnection = websockets.sync.connection.Connection


def originals() -> dict[str, Any]:
    """By slot; taken while nothing is replaced."""
    return {
        "websockets.asyncio.messages:Assembler.get": vars(Assembler)["get"],
        "websockets.asyncio.messages:Assembler.put": vars(Assembler)["put"],
        "websockets.asyncio.connection:Connection.send": vars(AsyncioConnection)["send"],
        "websockets.sync.connection:Connection.send": vars(SyncConnection)["send"],
    }


SELFTESTS = [asyncio_selftest, sync_selftest]


@pytest.mark.parametrize("selftest", SELFTESTS)
def test_it_passes_again_and_again(selftest: Any) -> None:
    theirs = originals()
    with speedups.installed("websockets", strict=True):
        for seed in range(60):
            selftest(theirs, "frames", Random(seed))


@pytest.mark.parametrize("selftest", SELFTESTS)
def test_it_takes_milliseconds(selftest: Any) -> None:
    theirs = originals()
    with speedups.installed("websockets", strict=True):
        taken = quickest(lambda: [selftest(theirs, "frames", Random(seed)) for seed in range(10)])
    assert taken < 0.5


@pytest.mark.parametrize("selftest", SELFTESTS)
def test_it_passes_inside_of_a_loop(selftest: Any) -> None:
    theirs = originals()

    async def main() -> None:
        with speedups.installed("websockets", strict=True):
            selftest(theirs, "frames", Random(1))

    asyncio.run(main())


@pytest.mark.parametrize("selftest", SELFTESTS)
def test_it_says_when_ours_are_not_reached(selftest: Any) -> None:
    with pytest.raises(Mismatch, match="passed"):
        selftest(originals(), "frames", Random(1))


@pytest.mark.parametrize("selftest", SELFTESTS)
def test_there_may_be_nothing_to_test(selftest: Any) -> None:
    selftest({}, "frames", Random(1))


async def in_pieces(self: Any, message: Any, *, text: Any = None) -> None:
    for data in (message[:1], message[1:]):
        self.transport.write(self.protocol.__class__ and bytes(str(data), "utf-8"))


def put_twice(self: Any, frame: Any) -> None:
    self.frames.put(frame)
    self.frames.put(frame)


async def get_bytes(self: Any, decode: Any = None) -> Any:
    return (await self.frames.get()).data


@pytest.mark.parametrize(
    ("owner", "name", "wrong", "selftest"),
    [
        (AsyncioConnection, "send", in_pieces, asyncio_selftest),
        (Assembler, "put", put_twice, asyncio_selftest),
        (Assembler, "get", get_bytes, asyncio_selftest),
        (SyncConnection, "send", lambda self, message, text=None: None, sync_selftest),
    ],
)
def test_it_finds_what_is_wrong(owner: Any, name: str, wrong: Any, selftest: Any) -> None:
    theirs = originals()
    with speedups.installed("websockets", strict=True):
        with mock.patch.object(owner, name, wrong), pytest.raises(Mismatch):
            for seed in range(50):
                selftest(theirs, "frames", Random(seed))
