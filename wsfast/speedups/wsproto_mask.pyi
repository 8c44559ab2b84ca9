from collections.abc import Callable
from typing import Any

__all__ = ["make_process"]

def make_process(original: Callable[..., Any], loose: bool) -> Callable[..., Any]: ...
