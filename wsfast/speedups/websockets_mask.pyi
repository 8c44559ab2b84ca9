from collections.abc import Callable
from typing import Any

__all__ = ["make_apply_mask"]

def make_apply_mask(original: Callable[..., Any]) -> Callable[..., Any]: ...
