from typing import Any

from wsfast.messaging import Messaging
from wsfast.settings import Settings

__all__ = ["Endpoint"]

class Endpoint(Messaging):
    def open(
        self,
        request: object,
        trailing: bytes,
        subprotocol: str | None = None,
        extension: Any = None,
        settings: Settings | None = None,
    ) -> None: ...
