from collections.abc import Callable
from types import ModuleType
from typing import TypeVar, final

__all__ = ["Globals", "Methods", "random_source", "stand_in"]

_Function = TypeVar("_Function", bound=Callable[..., object])

@final
class Methods:
    def __new__(
        cls, owner: type, names: tuple[str, ...], fields: tuple[str, ...], usual: int
    ) -> Methods: ...
    def serves(self, instance: object) -> bool: ...

@final
class Globals:
    def __new__(cls, module: ModuleType, *names: str) -> Globals: ...
    def unchanged(self) -> bool: ...

def random_source() -> Callable[[int], bytes]: ...
def stand_in(replacement: _Function, original: Callable[..., object]) -> _Function: ...
