from collections.abc import Callable
from typing import Any, final

__all__ = ["Reader"]

@final
class Reader:
    def make_decode_header(self, original: Any) -> Any: ...
    def make_read_frame(self, original: Callable[..., Any]) -> Callable[..., Any]: ...
    def make_read_message(self, original: Callable[..., Any]) -> Callable[..., Any]: ...
