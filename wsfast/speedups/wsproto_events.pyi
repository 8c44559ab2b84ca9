from collections.abc import Callable
from typing import Any, final

from .wsproto_names import Names
from .wsproto_parser import FrameParser, Lazy

__all__ = ["EventIterator", "make_events", "make_receive_data", "make_upgraded_events"]

@final
class EventIterator(Lazy):
    @property
    def parser(self) -> FrameParser | None: ...

def make_events(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
def make_receive_data(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
def make_upgraded_events(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
