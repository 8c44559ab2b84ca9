from collections.abc import Callable
from typing import Any

from .wsproto_names import Names

__all__ = ["make_process_buffer"]

def make_process_buffer(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
