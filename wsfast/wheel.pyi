from typing import final

from typing_extensions import disjoint_base

__all__ = ["SLOTS_PER_ROUND", "TICK_SECONDS", "Timed", "Wheel"]

TICK_SECONDS: float
SLOTS_PER_ROUND: int

@disjoint_base
class Timed:
    @property
    def deadline(self) -> int: ...

@final
class Wheel:
    def set_deadline(self, timed: Timed, tick: int) -> None: ...
    def clear_deadline(self, timed: Timed) -> None: ...
    def advance(self, tick: int) -> list[Timed]: ...
    def next_wakeup(self) -> int: ...
