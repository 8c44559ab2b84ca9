from types import ModuleType

__all__ = ["KeySource"]

class KeySource:
    def __new__(cls, module: ModuleType, name: str) -> KeySource: ...
    def token(self) -> bytes: ...
