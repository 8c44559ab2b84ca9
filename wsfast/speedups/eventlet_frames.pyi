from collections.abc import Callable
from typing import Any

__all__ = ["make_pack_message"]

def make_pack_message(original: Callable[..., bytes]) -> Callable[..., bytes]: ...
