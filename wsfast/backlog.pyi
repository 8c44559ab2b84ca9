from typing import final

__all__ = ["POLICIES", "Backlog"]

POLICIES: dict[str, int]

@final
class Backlog:
    @property
    def bytes(self) -> int: ...
    def __len__(self) -> int: ...
