"""websockets: the most used one; also what uvicorn, Sanic and many exchange clients stand on.

Its masking is C already, at the speed of memory: with another one nothing gets faster, and
nothing is replaced at level kernels unless that extension is missing. What costs is Python: a
frame is read by a handful of generators and built in a BytesIO. At level frames the sans-I/O
core, which `asyncio`, `sync`, `trio` and uvicorn share, takes all frames of a read in one call,
and builds those that are sent in another, permessage-deflate included.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .guard import Refused, find, judge, unwrapped
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["TARGET"]

FRAME = "websockets.frames:Frame."
PROTOCOL = "websockets.protocol:Protocol."
READER = "websockets.streams:StreamReader."
ASYNCIO = "websockets.asyncio."
SYNC = "websockets.sync.connection:"
DEFLATE = "websockets.extensions.permessage_deflate:PerMessageDeflate."

#: What the replaced methods call, and ours do themselves: part of what was tested, oldest first.
STOOD_FOR = {
    FRAME + "check": "ae1f6d9e7c1b",
    PROTOCOL + "parse": "259bd83cf95c 855dae86d373",
    PROTOCOL + "recv_frame": "12e0ac8f4deb 67bfbbb1d902 db84dd877602",
    PROTOCOL + "send_frame": "d36e864682e2",
    READER + "at_eof": "a7de1bd778c5",
    READER + "feed_data": "cf2f04648ca3",
    READER + "read_exact": "eac6154656e0",
}

#: The same for permessage-deflate; with another one, connections that negotiate it gain nothing.
STOOD_FOR_DEFLATE = {
    DEFLATE + "decode": "24c2720f71b8 03f529065223 dfb5b1863dd7 6d8f193c53dc",
    DEFLATE + "encode": "b7e08f37d216 dc9b47428cb6 35644c75f01d",
}


#: What the messages of a connection pass.
STOOD_FOR_MESSAGES = {
    PROTOCOL + "close_expected": "40cf45efeca6",
    PROTOCOL + "data_to_send": "7b4dd2b95e5a",
    PROTOCOL + "send_text": "b323166ae587 8ece6e8801c1",
    PROTOCOL + "send_binary": "5dc7345eb0e1 73936eed8630",
}

#: And those of an asyncio connection.
STOOD_FOR_ASYNCIO = {
    ASYNCIO + "connection:Connection.send_context": (
        "c076de3fbac4 86c705f82836 d6f6a011456d 89e7b7c80e51 dc4d052d8fa0"
    ),
    ASYNCIO + "connection:Connection.send_data": "59bb39bc6181 538e2ce87fef",
    ASYNCIO + "connection:Connection.drain": "a83890bb0d66",
    ASYNCIO + "messages:Assembler.maybe_resume": "f5fd3ef44504 2b3324bd1a02",
    ASYNCIO + "messages:Assembler.maybe_pause": "3185d2a2d0ab d9e43f35a25d",
    ASYNCIO + "messages:SimpleQueue.get": "e936864cde00 056e61945874",
    ASYNCIO + "messages:SimpleQueue.put": "d891edfc8364",
}

#: And those of a threaded one.
STOOD_FOR_SYNC = {
    SYNC + "Connection.send_context": "589d299c6faf 0e73c9f4e2b0 b94807e32101",
    SYNC + "Connection.send_data": "5df8f91cbe9e",
}


#: Functions that have passed: several parts stand for the same ones.
_judged: set[object] = set()


def _judge_helpers(helpers: dict[str, str]) -> None:
    for where, known in helpers.items():
        function = _undecorated(find(where)[2])
        if function not in _judged:
            slot = Slot(where, lambda same: same, fingerprints=frozenset(known.split()))
            judge(slot, function)
            _judged.add(function)


def _undecorated(value: Any) -> Any:
    """The library's own function: not ours, nor what contextlib makes of send_context."""
    while getattr(value, "__wsfast__", value) is getattr(value, "__wrapped__", None):
        value = value.__wrapped__
    code = getattr(value, "__code__", None)
    if code is not None and code.co_filename == contextlib.__file__:
        return value.__wrapped__
    return value


def _deflate() -> type | None:
    """PerMessageDeflate, if it is as it was tested."""
    try:
        from websockets.extensions.permessage_deflate import PerMessageDeflate

        _judge_helpers(STOOD_FOR_DEFLATE)
    except (ImportError, Refused):
        return None
    found: type = PerMessageDeflate
    return found


def _deep(where: str, make: Callable[[Any], Any], parameters: str, fingerprints: str) -> Slot:
    marks = frozenset(fingerprints.split())
    return Slot(where, make, "frames", tuple(parameters.split()), marks)


def _mask_slots(module: str) -> list[Slot]:
    """The masking function of a module, if it is the one in Python."""
    from .websockets_mask import make_apply_mask

    where = f"{module}:apply_mask"
    if getattr(unwrapped(find(where)[2]), "__module__", "") != "websockets.utils":
        return []
    return [Slot(where, make_apply_mask, parameters=("data", "mask"))]


def _slots() -> Sequence[Slot]:
    from . import websockets_frames as frames
    from . import websockets_protocol as protocol
    from .websockets_names import Names

    @functools.cache
    def names() -> Names:
        _judge_helpers(STOOD_FOR)
        return Names(_deflate())

    return [
        *_mask_slots("websockets.frames"),
        _deep(
            FRAME + "parse",
            lambda original: frames.make_parse(original, names()),
            "cls read_exact mask max_size extensions",
            "6f503054af43",
        ),
        _deep(
            FRAME + "serialize",
            lambda original: frames.make_serialize(original, names()),
            "self mask extensions",
            "7e287d868c79 87896a2f79e2",
        ),
        _deep(
            PROTOCOL + "receive_data",
            lambda original: protocol.make_receive_data(original, names()),
            "self data",
            "bacd7ce085ea",
        ),
        _deep(
            PROTOCOL + "send_text",
            lambda original: protocol.make_send_message(original, names(), 1),
            "self data fin",
            "b323166ae587 8ece6e8801c1",
        ),
        _deep(
            PROTOCOL + "send_binary",
            lambda original: protocol.make_send_message(original, names(), 2),
            "self data fin",
            "5dc7345eb0e1 73936eed8630",
        ),
        _deep(
            PROTOCOL + "send_continuation",
            lambda original: protocol.make_send_continuation(original, names()),
            "self data fin",
            "b4ddb82cd38d 3359b4f76cc1",
        ),
    ]


def _asyncio_slots() -> Sequence[Slot]:
    from . import websockets_asyncio as messages
    from .websockets_names import Names
    from .websockets_send import make_send

    @functools.cache
    def connections() -> messages.Connections:
        _judge_helpers(STOOD_FOR | STOOD_FOR_MESSAGES | STOOD_FOR_ASYNCIO)
        return messages.Connections(Names(_deflate()))

    return [
        _deep(
            ASYNCIO + "messages:Assembler.get",
            lambda original: messages.make_get(original, connections()),
            "self decode",
            "52cc230979f9 90a0525a7a1b b5294a91ee48 822ae3532027 bab49868aa44",
        ),
        _deep(
            ASYNCIO + "messages:Assembler.put",
            lambda original: messages.make_put(original, connections()),
            "self frame",
            "cc6dd3b374ec",
        ),
        _deep(
            ASYNCIO + "connection:Connection.send",
            lambda original: make_send(original, connections()),
            "self message text",
            "cd93bbdeaed2 5661d0d71505 20649c34d9c2",
        ),
    ]


def _sync_slots() -> Sequence[Slot]:
    from . import websockets_sync as messages
    from .websockets_names import Names

    @functools.cache
    def connections() -> messages.ThreadedConnections:
        _judge_helpers(STOOD_FOR | STOOD_FOR_MESSAGES | STOOD_FOR_SYNC)
        return messages.ThreadedConnections(Names(_deflate()))

    return [
        _deep(
            SYNC + "Connection.send",
            lambda original: messages.make_send(original, connections()),
            "self message text",
            "89c80f0b7caf ace7503d5e9e f9a3d09e4f82 5a0bdc415cbb",
        )
    ]


def _legacy_slots() -> Sequence[Slot]:
    return _mask_slots("websockets.legacy.framing")


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .websockets_selftest import selftest

    selftest(originals, level, random)


def _asyncio_selftest(originals: Originals, level: Level, random: Random) -> None:
    from .websockets_connection_selftest import asyncio_selftest

    asyncio_selftest(originals, level, random)


def _sync_selftest(originals: Originals, level: Level, random: Random) -> None:
    from .websockets_connection_selftest import sync_selftest

    sync_selftest(originals, level, random)


# --- what `bench` times ------------------------------------------------------------------------


def _protocols(deflate: bool) -> tuple[Any, Any]:
    """A server's and a client's sans-I/O connection, open, with or without compression."""
    from websockets.client import ClientProtocol
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.protocol import OPEN
    from websockets.server import ServerProtocol
    from websockets.uri import parse_uri

    server: Any = ServerProtocol(state=OPEN, max_size=None)
    client: Any = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=None)
    if deflate:
        server.extensions = [PerMessageDeflate(False, False, 12, 12, {"memLevel": 5})]
        client.extensions = [PerMessageDeflate(False, False, 12, 12, {"memLevel": 5})]
    return server, client


def _receive(protocol: Any, *reads: bytes) -> None:
    for data in reads:
        protocol.receive_data(data)
        protocol.events_received()
        protocol.data_to_send()


def _send(protocol: Any, method: str, payload: bytes) -> None:
    getattr(protocol, method)(payload)
    protocol.data_to_send()


def _exchange(kind: str, size: int, sender: Any, receiver: Any) -> Iterator[Workload]:
    """Workloads of one direction, without compression."""
    payload = b"x" * size
    send = functools.partial(_send, sender, f"send_{kind}", payload)
    yield Workload(f"{sender.side.name.lower()} sends {kind}", size, send)
    getattr(sender, f"send_{kind}")(payload)
    frame = b"".join(sender.data_to_send())
    name = f"{receiver.side.name.lower()} receives {kind}"
    yield Workload(name, size, functools.partial(_receive, receiver, frame))
    if size < 1024:
        batch = functools.partial(_receive, receiver, frame * 64)
        yield Workload(f"{name}, 64 a read", size, batch, 64)
    else:
        cuts = [0, 9, 99, *range(16384, len(frame), 16384), len(frame)]
        reads = [frame[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
        yield Workload(f"{name}, in parts", size, functools.partial(_receive, receiver, *reads))


def _compressed(size: int) -> Iterator[Workload]:
    """A server and a client that have negotiated what both negotiate by default."""
    payload = (b"%d some compressible text, " % size * size)[:size]
    server, client = _protocols(True)
    for _ in range(2):  # the second one refers to the first, and so does every later one
        client.send_text(payload)
        (frame,) = client.data_to_send()
        _receive(server, frame)
    receive = functools.partial(_receive, server, frame)
    yield Workload("server receives compressed text", size, receive)
    send = functools.partial(_send, client, "send_text", payload)
    yield Workload("client sends compressed text", size, send)


def _frames(size: int) -> Iterator[Workload]:
    from websockets.frames import Frame, Opcode
    from websockets.streams import StreamReader

    frame = Frame(Opcode.BINARY, b"x" * size)
    for mask in (True, False):
        kind = "masked" if mask else "unmasked"
        reader, data = StreamReader(), frame.serialize(mask=mask)
        yield Workload(f"serialize {kind}", size, functools.partial(frame.serialize, mask=mask))
        yield Workload(f"parse {kind}", size, functools.partial(_parse, reader, data, mask))


def _parse(reader: Any, data: bytes, mask: bool) -> None:
    from websockets.frames import Frame

    reader.feed_data(data)
    try:
        next(Frame.parse(reader.read_exact, mask=mask))
    except StopIteration:
        pass


def _workloads() -> Sequence[Workload]:
    found: list[Workload] = []
    for size in (125, 65536, 1 << 20):
        for kind in ("text", "binary"):
            server, client = _protocols(False)
            found += _exchange(kind, size, client, server)
            found += _exchange(kind, size, server, client)
    for size in (125, 65536):
        found += [*_compressed(size), *_frames(size)]
    return found


TARGET = Target(
    library="websockets",
    package="websockets",
    tested=("14.0", "18"),
    parts=(
        Part("websockets.protocol", _slots, _selftest),
        Part("websockets.asyncio.connection", _asyncio_slots, _asyncio_selftest),
        Part("websockets.sync.connection", _sync_slots, _sync_selftest),
        Part("websockets.legacy.framing", _legacy_slots, _selftest),
    ),
    workloads=_workloads,
    note="its own masking is as fast: level kernels replaces it only where it is in Python",
)
