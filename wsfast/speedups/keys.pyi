from types import ModuleType
from typing import final

__all__ = ["KeySource"]

@final
class KeySource:
    def __new__(cls, module: ModuleType, name: str) -> KeySource: ...
    def token(self) -> bytes: ...
