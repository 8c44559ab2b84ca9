"""gevent-websocket: masking and UTF-8 validation; reading of frames and messages (frames)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .guard import judge_all
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["TARGET"]

MODULE = "geventwebsocket.websocket"

#: What read_message calls, and read_message here stands for.
STOOD_FOR = {
    f"{MODULE}:WebSocket.validate_utf8": "0a034372f6e7",
    f"{MODULE}:WebSocket._decode_bytes": "c19180edc695",
}


def _slots() -> Sequence[Slot]:
    from .gevent_websocket_frames import Reader
    from .masker import make_mask_payload
    from .validator import Utf8Validator

    reader = Reader()
    slots = [
        Slot(f"{MODULE}:Header.{name}", make_mask_payload, parameters=("self", "payload"))
        for name in ("mask_payload", "unmask_payload")
    ]
    for module in (MODULE, "geventwebsocket.utf8validator"):
        slots.append(Slot(f"{module}:Utf8Validator", lambda original: Utf8Validator))
    for name, make, parameters, source in (
        ("Header.decode_header", reader.make_decode_header, ("cls", "stream"), "07dab6213ab8"),
        ("WebSocket.read_frame", reader.make_read_frame, ("self",), "3a1ed1eda025"),
        ("WebSocket.read_message", _judged(reader.make_read_message), ("self",), "87d155eb55b3"),
    ):
        where = f"{MODULE}:{name}"
        slots.append(Slot(where, make, "frames", parameters, frozenset({source})))
    return slots


def _judged(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def judged(original: Any) -> Any:
        judge_all(STOOD_FOR)
        return make(original)

    return judged


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .gevent_websocket_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from .gevent_websocket_selftest import workloads

    return workloads()


TARGET = Target(
    library="gevent-websocket",
    package="geventwebsocket",
    tested=("0.10", "0.11"),
    parts=(Part(MODULE, _slots, _selftest),),
    workloads=_workloads,
)
