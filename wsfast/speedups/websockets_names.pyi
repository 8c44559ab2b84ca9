from enum import IntEnum
from typing import final

__all__ = ["Names"]

@final
class Names:
    @property
    def Frame(self) -> type: ...
    @property
    def opcodes(self) -> tuple[IntEnum | None, ...]: ...
    def __init__(self, deflate: type | None) -> None: ...
