from collections.abc import Sequence
from typing import final

__all__ = ["Schedule"]

@final
class Schedule:
    next_ns: int

    def __init__(
        self,
        stages: Sequence[tuple[float, float]],
        *,
        rate: float | None = None,
        arrivals: str = "constant",
        phase: float = 0.0,
        seed: int = 0,
    ) -> None: ...
    def begin(self, start_ns: int) -> None: ...
    def take(self, count: int) -> list[int]: ...
