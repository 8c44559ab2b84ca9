from collections.abc import Callable
from typing import Any, final

from .websockets_names import Names

__all__ = ["ThreadedConnections", "make_send"]

@final
class ThreadedConnections:
    def __init__(self, names: Names) -> None: ...

def make_send(
    original: Callable[..., Any], connections: ThreadedConnections
) -> Callable[..., Any]: ...
