from collections.abc import Callable
from typing import Any, final

__all__ = ["Frames"]

@final
class Frames:
    def make_build(self, original: Any) -> Any: ...
    def make_feed(self, original: Callable[..., Any]) -> Callable[..., Any]: ...
    def make_parse(self, original: Callable[..., Any]) -> Callable[..., Any]: ...
