from collections.abc import Callable
from typing import Any

__all__ = ["make_write_websocket_frame"]

def make_write_websocket_frame(original: Callable[..., Any]) -> Callable[..., Any]: ...
