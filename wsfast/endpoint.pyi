from typing import Any

from wsfast.messaging import Messaging

__all__ = ["Endpoint"]

class Endpoint(Messaging):
    state: Any
    @property
    def request(self) -> Any: ...
    @property
    def subprotocol(self) -> str | None: ...
    def open(
        self,
        request: object,
        trailing: bytes,
        subprotocol: str | None = None,
        extension: Any = None,
    ) -> None: ...
