"""eventlet: masking, UTF-8 validation where wsaccel does it; messages packed (level frames).

Reading is left as it is: once masking is fast, what is left of it are the calls of the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["MASK", "PACK", "TARGET", "VALIDATORS"]

MODULE = "eventlet.websocket"
MASK = f"{MODULE}:RFC6455WebSocket._apply_mask"
PACK = f"{MODULE}:RFC6455WebSocket._pack_message"
VALIDATORS = f"{MODULE}:utf8validator"

#: Of 0.33.3, and from 0.35.2 on.
PACK_MESSAGE = frozenset({"2fc4f6e63ded", "97f10582a286"})


def _slots() -> Sequence[Slot]:
    from eventlet import websocket

    from . import validator
    from .eventlet_frames import make_pack_message
    from .masker import make_apply_mask

    slots = [
        Slot(MASK, make_apply_mask, parameters=("data", "mask", "length", "offset")),
        Slot(
            PACK,
            make_pack_message,
            "frames",
            ("self", "message", "masked", "continuation", "final", "control_code"),
            PACK_MESSAGE,
        ),
    ]
    if websocket.utf8validator is not None:
        # A module with a Utf8Validator, wsaccel's. Without one eventlet asks a codec.
        slots.append(Slot(VALIDATORS, lambda original: validator))
    return slots


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .eventlet_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from .eventlet_selftest import workloads

    return workloads()


TARGET = Target(
    library="eventlet",
    package="eventlet",
    tested=("0.33.3", "0.42"),
    parts=(Part(MODULE, _slots, _selftest),),
    workloads=_workloads,
    note="receiving gains from masking only",
)
