from typing import Any, Literal, TypeAlias

from typing_extensions import disjoint_base

from wsfast.traffic import Traffic
from wsfast.transport import Transport

__all__ = ["Opened"]

_Halt: TypeAlias = Literal["application", "handler", "credential", "upgrade"]

@disjoint_base
class Opened(Transport):
    state: Any
    @property
    def subprotocol(self) -> str | None: ...
    @property
    def request(self) -> Any: ...
    @property
    def path_params(self) -> dict[str, str | int]: ...
    @property
    def traffic(self) -> Traffic | None: ...
    def pause_reading(self, *, by: _Halt = "application") -> None: ...
    def resume_reading(self, *, by: _Halt = "application") -> None: ...
