from collections.abc import Callable
from typing import Any

__all__ = ["make_feed_data"]

def make_feed_data(original: Callable[..., Any]) -> Callable[..., Any]: ...
