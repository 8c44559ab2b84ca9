from collections.abc import Callable
from typing import Any

__all__ = ["make_websocket_mask"]

def make_websocket_mask(original: Callable[..., Any]) -> Callable[..., Any]: ...
