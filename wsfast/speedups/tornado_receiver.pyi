from collections.abc import Callable
from typing import Any

__all__ = ["make_receive_frame"]

def make_receive_frame(original: Callable[..., Any]) -> Callable[..., Any]: ...
