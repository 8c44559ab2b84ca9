"""lomond: masking and UTF-8 validation; frames built and received (level frames)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .guard import judge_all
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["BUILD", "FEED", "PARSE", "TARGET"]

BUILD = "lomond.frame:Frame.build"
FEED = "lomond.parser:Parser.feed"
PARSE = "lomond.frame_parser:FrameParser.parse"

#: What the replaced methods call, and ours stand for.
STOOD_FOR = {
    "lomond.frame:Frame.__init__": "e3037e94bf7c",
    "lomond.frame:Frame.validate": "5035c2a851ac",
    "lomond.frame_parser:FrameParser.on_frame": "975eca0ec464",
    "lomond.frame_parser:FrameParser.read_text": "e9efa2b47be5",
    "lomond.frame_parser:ClientFrameParser.on_frame": "3e6ef300b992",
}


def _slots() -> Sequence[Slot]:
    from .lomond_frames import Frames
    from .masker import make_mask_in_place
    from .validator import Utf8Validator

    frames = Frames()
    mask = ("masking_key", "data")
    slots = [
        Slot(f"{module}:mask_payload", make_mask_in_place, parameters=mask)
        for module in ("lomond.mask", "lomond.frame")
    ]
    for module in ("lomond.frame_parser", "lomond.message", "lomond.utf8validator"):
        slots.append(Slot(f"{module}:Utf8Validator", lambda original: Utf8Validator))
    bits = ("fin", "rsv1", "rsv2", "rsv3", "mask", "masking_key")
    for where, make, parameters, source in (
        (BUILD, frames.make_build, ("cls", "opcode", "payload", *bits), "17dc39760d08"),
        (PARSE, _judged(frames.make_parse), ("self",), "14240bb91d8e"),
        (FEED, frames.make_feed, ("self", "data"), "9b2bc189d68b"),
    ):
        slots.append(Slot(where, make, "frames", parameters, frozenset({source})))
    return slots


def _judged(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def judged(original: Any) -> Any:
        judge_all(STOOD_FOR)
        return make(original)

    return judged


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .lomond_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from .lomond_selftest import workloads

    return workloads()


TARGET = Target(
    library="lomond",
    package="lomond",
    tested=("0.3.3", "0.4"),
    parts=(Part("lomond.stream", _slots, _selftest),),
    workloads=_workloads,
)
