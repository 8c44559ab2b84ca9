from collections.abc import Callable
from typing import Any, final

from wsfast.endpoint import Endpoint
from wsfast.limits import Limits
from wsfast.loop import Loop
from wsfast.rfc6455 import Role
from wsfast.tls import TlsSession

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
        limits: Limits = ...,
        views: bool = False,
        slow_consumer: str = "wait",
        make_session: Callable[[], TlsSession] | None = None,
        preface: bool = False,
        keep_request: bool = True,
        count_traffic: bool = False,
        endpoints: set[Endpoint] | None = None,
    ) -> None: ...
    @property
    def loop(self) -> Loop: ...
    @property
    def role(self) -> Role: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def views(self) -> bool: ...
    @property
    def count_traffic(self) -> bool: ...
    @property
    def keep_request(self) -> bool: ...
    @property
    def opener(self) -> Callable[[], Any]: ...
    @property
    def make_session(self) -> Callable[[], TlsSession] | None: ...
    @property
    def preface(self) -> bool: ...
    @property
    def stats(self) -> dict[str, int]: ...
    @property
    def endpoints(self) -> set[Endpoint]: ...
