"""websockify: the bridge of noVNC and OpenStack between WebSockets and TCP.

At level kernels payloads are unmasked in C, for which the library needs numpy or else a loop of
Python. At level frames they are also parsed in C, all frames of one read at once. What it sends is
not masked, and built as fast as it can be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .guard import find, judge
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["TARGET"]

WEBSOCKET = "websockify.websocket:WebSocket."

#: What the replaced methods call, and ours do themselves: part of what was tested.
STOOD_FOR = {
    "_recv": "3a41c06c596c",
    "_unmask": "cb5da044405e",
}


def _judge_helpers() -> None:
    for name, known in STOOD_FOR.items():
        where = WEBSOCKET + name
        slot = Slot(where, lambda same: same, fingerprints=frozenset(known.split()))
        judge(slot, find(where)[2])


def _slots() -> Sequence[Slot]:
    from . import websockify_frames as kernels

    @functools.cache
    def frames() -> kernels.Frames:
        _judge_helpers()
        return kernels.Frames()

    def deep(name: str, make: Callable[[Any], Any], parameters: str, fingerprint: str) -> Slot:
        names = tuple(parameters.split())
        marks = frozenset({fingerprint})
        return Slot(WEBSOCKET + name, make, "frames", names, marks)

    return [
        Slot(WEBSOCKET + "_unmask", kernels.make_unmask, parameters=("self", "buf", "mask")),
        deep(
            "_decode_hybi",
            lambda original: frames().make_decode_hybi(original),
            "self buf",
            "d7b808b22718",
        ),
        deep(
            "_recv_frames",
            lambda original: frames().make_recv_frames(original),
            "self",
            "eee0ca4cf3a6",
        ),
    ]


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .websockify_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from websockify.websocket import WebSocket

    from .endless import EndlessSocket
    from .selftest import frame_bytes

    found = []
    for size, frames in ((8, 100), (125, 1), (65536, 1)):
        payload = b"x" * size
        server = WebSocket()
        server.client, server._state = False, "done"
        server.socket = EndlessSocket(
            frame_bytes(2, payload, masking_key=b"\x0d\x07\xf1\x80") * frames
        )
        name = "receive masked" if frames == 1 else f"receive masked, {frames} a read"
        run = functools.partial(_receive, server, frames)
        found.append(Workload(name, size, run, frames))
        found.append(Workload("send", size, functools.partial(server.sendmsg, payload)))
    return found


def _receive(server: Any, count: int) -> None:
    """As many messages, as `recv_frames` of websockify's handler gets them."""
    from websockify.websocket import WebSocketWantReadError

    while count:
        try:
            server.recvmsg()
        except WebSocketWantReadError:
            continue
        count -= 1


TARGET = Target(
    library="websockify",
    package="websockify",
    tested=("0.10", "0.14"),
    parts=(Part("websockify.websocket", _slots, _selftest),),
    workloads=_workloads,
)
