from collections.abc import Callable
from typing import final

from wsfast.selector import EpollSelector, Stream

__all__ = ["EDGE", "CallbackStream"]

EDGE: int

@final
class CallbackStream(Stream):
    def __init__(
        self,
        selector: EpollSelector,
        fd: int,
        events: int = 0,
        on_ready: Callable[[int], object] | None = None,
        *,
        on_deadline: Callable[[], object] | None = None,
        on_turn_end: Callable[[], object] | None = None,
    ) -> None: ...
    def set_events(self, events: int) -> None: ...
    def ask_again(self) -> None: ...
    def set_deadline(self, seconds: float) -> None: ...
    def clear_deadline(self) -> None: ...
    def at_turn_end(self) -> None: ...
    def remove(self) -> None: ...
