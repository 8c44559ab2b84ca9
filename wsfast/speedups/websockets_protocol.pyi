from collections.abc import Callable
from typing import Any

from .websockets_names import Names

__all__ = ["make_receive_data", "make_send_continuation", "make_send_message"]

def make_receive_data(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
def make_send_message(
    original: Callable[..., Any], names: Names, opcode: int
) -> Callable[..., Any]: ...
def make_send_continuation(original: Callable[..., Any], names: Names) -> Callable[..., Any]: ...
