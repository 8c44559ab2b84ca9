"""ws4py: masking and UTF-8 validation; frames built and received (level frames)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .guard import judge_all
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["FRAME", "MESSAGE", "STREAMING", "TARGET"]

FRAME = "ws4py.framing:Frame."
MESSAGE = "ws4py.messaging:Message."
STREAMING = "ws4py.streaming:"

#: What the replaced methods call, and ours stand for: the frame's own parser, its constructor.
STOOD_FOR = {FRAME + "_parsing": "f767655ec6fc", FRAME + "__init__": "25b103b6ae81"}


def _slots() -> Sequence[Slot]:
    from .masker import make_mask
    from .validator import Utf8Validator
    from .ws4py_frames import Frames

    frames = Frames()
    slots = [
        Slot(FRAME + name, make_mask, parameters=("self", "data")) for name in ("mask", "unmask")
    ]
    slots.append(Slot(f"{STREAMING}Utf8Validator", lambda original: Utf8Validator))
    single, fragment = ("self", "mask"), ("self", "first", "last", "mask")
    receiver = _judged(frames.make_receiver)
    for where, make, parameters, source in (
        (f"{FRAME}build", frames.make_build, ("self",), "2bf4526b1272"),
        (f"{MESSAGE}single", frames.make_single, single, "e6757e860b4d"),
        (f"{MESSAGE}fragment", frames.make_fragment, fragment, "2de874d200a0"),
        (f"{STREAMING}Stream.receiver", receiver, ("self",), "52fa9e26ad41"),
    ):
        slots.append(Slot(where, make, "frames", parameters, frozenset({source})))
    return slots


def _judged(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def judged(original: Any) -> Any:
        judge_all(STOOD_FOR)
        return make(original)

    return judged


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .ws4py_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from .ws4py_selftest import workloads

    return workloads()


TARGET = Target(
    library="ws4py",
    package="ws4py",
    tested=("0.4.2", "0.7"),
    parts=(Part("ws4py.streaming", _slots, _selftest),),
    workloads=_workloads,
    note="streams that have received something at install go on as they are",
)
