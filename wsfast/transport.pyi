from collections.abc import Callable
from typing import Any

from typing_extensions import Self

from wsfast.selector import Stream
from wsfast.settings import Settings
from wsfast.tls import TlsSession

__all__ = ["Transport"]

class Transport(Stream):
    counted_at: Any
    def __new__(cls, settings: Settings, *args: object, **kwargs: object) -> Self: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def secure(self) -> bool: ...
    @property
    def tls(self) -> TlsSession | None: ...
    @property
    def buffered_bytes(self) -> int: ...
    @property
    def remote_address(self) -> Any: ...
    @property
    def local_address(self) -> Any: ...
    def at_close(self, callback: Callable[[], object]) -> None: ...
