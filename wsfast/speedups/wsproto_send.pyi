from collections.abc import Callable
from typing import Any

from .wsproto_names import Names

__all__ = ["make_send", "make_send_data", "make_serialize_frame"]

def make_send(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
def make_send_data(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
def make_serialize_frame(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
