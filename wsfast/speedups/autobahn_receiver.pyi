from collections.abc import Callable
from typing import Any

__all__ = ["FIELDS", "HOOKS", "make_process_data"]

FIELDS: tuple[str, ...]
HOOKS: tuple[str, ...]

def make_process_data(
    original: Callable[[Any], bool], plan_for: Callable[[type], object]
) -> Callable[[Any], bool]: ...
