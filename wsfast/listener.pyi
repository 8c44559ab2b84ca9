import socket
from collections.abc import Callable
from typing import Any, final

from wsfast.endpoint import Endpoint
from wsfast.selector import Stream
from wsfast.settings import Settings

__all__ = ["Listener"]

@final
class Listener(Stream):
    def __init__(
        self,
        settings: Settings,
        socket: socket.socket,
        make: type[Endpoint] = ...,
        gate: Callable[[str | None], object] | None = None,
    ) -> None: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def address(self) -> Any: ...
    def close(self) -> None: ...
