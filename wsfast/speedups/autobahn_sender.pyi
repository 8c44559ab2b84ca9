from collections.abc import Callable
from typing import Any, final

__all__ = ["FIELDS", "HOOKS", "Sender"]

FIELDS: tuple[str, ...]
HOOKS: tuple[str, ...]

@final
class Sender:
    def make_send_data(self, original: Callable[..., None]) -> Callable[..., None]: ...
    def make_send_frame(self, original: Callable[..., None]) -> Callable[..., None]: ...
    def make_send_message(self, original: Callable[..., None]) -> Callable[..., None]: ...
