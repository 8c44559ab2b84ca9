from collections.abc import Callable
from selectors import BaseSelector, SelectorKey
from typing import final

from typing_extensions import Self, TypeVarTuple, Unpack, disjoint_base

from wsfast.files import FileRegistry
from wsfast.wheel import Timed

__all__ = ["EpollSelector", "Stream", "Timer"]

_Args = TypeVarTuple("_Args")

@disjoint_base
class Stream(Timed):
    @property
    def fd(self) -> int: ...

@final
class Timer(Stream):
    @property
    def active(self) -> bool: ...
    def cancel(self) -> None: ...

@final
class EpollSelector(FileRegistry, BaseSelector):
    flush_soon: Callable[[], object] | None
    def __new__(cls, *, backend: Callable[[], BaseSelector] | None = None) -> Self: ...
    @property
    def dispatching(self) -> bool: ...
    @property
    def now_ns(self) -> int: ...
    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]: ...
    def flush(self) -> None: ...
    def call_later(
        self, seconds: float, callback: Callable[[Unpack[_Args]], object], *args: Unpack[_Args]
    ) -> Timer: ...
    def wakeup(self) -> None: ...
    def call_threadsafe(
        self, callback: Callable[[Unpack[_Args]], object], *args: Unpack[_Args]
    ) -> None: ...
    def fileno(self) -> int: ...
