from collections.abc import Callable
from typing import Any

from .wsproto_names import Names

__all__ = ["make_process_frame"]

def make_process_frame(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
