from collections.abc import Callable
from typing import Any, final

from wsfast.endpoint import Endpoint
from wsfast.loop import Loop
from wsfast.rfc6455 import Role

__all__ = ["Settings"]

@final
class Settings:
    def __init__(
        self,
        loop: Loop,
        role: Role,
        handler: object,
        opener: Callable[[], Any],
        *,
        max_message_bytes: int = ...,
        max_fragments: int | None = None,
        views: bool = False,
        high_water: int = ...,
        low_water: int = ...,
        max_queue_bytes: int = ...,
        opening_seconds: float = 10.0,
        closing_seconds: float = 10.0,
    ) -> None: ...
    @property
    def loop(self) -> Loop: ...
    @property
    def role(self) -> Role: ...
    @property
    def max_message_bytes(self) -> int: ...
    @property
    def max_fragments(self) -> int | None: ...
    @property
    def views(self) -> bool: ...
    @property
    def high_water(self) -> int: ...
    @property
    def low_water(self) -> int: ...
    @property
    def max_queue_bytes(self) -> int: ...
    @property
    def opening_seconds(self) -> float: ...
    @property
    def closing_seconds(self) -> float: ...
    @property
    def opener(self) -> Callable[[], Any]: ...
    @property
    def endpoints(self) -> set[Endpoint]: ...
