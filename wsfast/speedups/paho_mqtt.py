"""paho-mqtt: MQTT over WebSockets, `Client(transport="websockets")`.

At level kernels frames are masked and built in C, which the library does byte by byte. At level
frames what arrives is parsed in C too, and a part of a large frame is taken without a copy of all
that came before it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .guard import find, judge_all
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["TARGET"]

CLIENT = "paho.mqtt.client:"

#: MQTT packets in one frame, where `bench` has many of them.
PACKETS = 500

#: What the replaced methods call, and ours do themselves: part of what was tested.
STOOD_FOR = {"_buffered_read": "1002524538d3"}


def _place() -> str:
    """The wrapper class: it got its underscore in 2.0."""
    from paho.mqtt import client

    name = "_WebsocketWrapper" if hasattr(client, "_WebsocketWrapper") else "WebsocketWrapper"
    return f"{CLIENT}{name}"


def _slots() -> Sequence[Slot]:
    from .paho_mqtt_frames import Frames

    place = _place()

    @functools.cache
    def frames() -> Frames:
        return Frames(find(place)[2])

    def receive(original: Any) -> Any:
        judge_all({f"{place}.{name}": known for name, known in STOOD_FOR.items()})
        return frames().make_recv_impl(original)

    return [
        Slot(
            f"{place}._create_frame",
            lambda original: frames().make_create_frame(original),
            parameters=("self", "opcode", "data", "do_masking"),
            fingerprints=frozenset({"586c29804ab9"}),
        ),
        Slot(
            f"{place}._send_impl",
            lambda original: frames().make_send_impl(original),
            level="frames",
            parameters=("self", "data"),
            fingerprints=frozenset({"d3e94cdd862a", "0f436a4790e3"}),
        ),
        Slot(
            f"{place}._recv_impl",
            receive,
            level="frames",
            parameters=("self", "length"),
            fingerprints=frozenset({"dcb6fa6af809", "af5f68bd12e1", "8f57a161d617"}),
        ),
    ]


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .paho_mqtt_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from .endless import EndlessSocket
    from .selftest import frame_bytes

    found = []
    for size in (125, 65536, 1 << 20):
        wrapper = _connected(EndlessSocket(frame_bytes(2, b"x" * size)))
        send = functools.partial(wrapper.send, b"x" * size)
        found.append(Workload("send", size, send))
        found.append(Workload("recv a packet", size, functools.partial(_packet, wrapper, size)))
    wrapper = _connected(EndlessSocket(frame_bytes(2, b"x" * 125 * PACKETS)))
    run = functools.partial(_packets, wrapper, 125)
    return [*found, Workload(f"recv packets, {PACKETS} a frame", 125, run, PACKETS)]


def _packet(wrapper: Any, size: int) -> None:
    """Read as `Client` reads an MQTT packet: its type, its length, the rest."""
    for part in (1, 1, size - 2):
        wrapper.recv(part)


def _packets(wrapper: Any, size: int) -> None:
    for _ in range(PACKETS):
        _packet(wrapper, size)


def _connected(wire: object) -> Any:
    """A wrapper as it is after its handshake."""
    owner: Any = find(_place())[2]
    wrapper = owner.__new__(owner)
    wrapper.connected = True
    wrapper._ssl, wrapper._host, wrapper._port, wrapper._path = False, "", 80, "/mqtt"
    wrapper._socket = wire
    wrapper._sendbuffer, wrapper._readbuffer = bytearray(), bytearray()
    wrapper._requested_size = wrapper._payload_head = wrapper._readbuffer_head = 0
    return wrapper


TARGET = Target(
    library="paho-mqtt",
    package="paho",
    tested=("1.6", "2.3"),
    parts=(Part("paho.mqtt.client", _slots, _selftest),),
    workloads=_workloads,
    note='only transport="websockets" gains',
)
