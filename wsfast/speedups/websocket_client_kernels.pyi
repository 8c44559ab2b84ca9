from collections.abc import Callable
from typing import Any

__all__ = ["make_mask", "make_validate_utf8"]

def make_mask(original: staticmethod[..., bytes]) -> staticmethod[..., bytes]: ...
def make_validate_utf8(original: Callable[..., Any]) -> Callable[..., Any]: ...
