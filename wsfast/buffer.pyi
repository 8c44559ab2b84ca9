from typing import final

__all__ = ["Buffer"]

@final
class Buffer:
    @property
    def exports(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...
