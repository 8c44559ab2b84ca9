from typing import final

from wsfast.selector import EpollSelector

__all__ = ["TlsBudget"]

@final
class TlsBudget:
    def __init__(self, selector: EpollSelector, per_turn: int = 16) -> None: ...
    @property
    def steps_per_turn(self) -> int: ...
    @property
    def waiting_handshakes(self) -> int: ...
    def resume(self) -> None: ...
