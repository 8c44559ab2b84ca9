from typing import Any

from typing_extensions import disjoint_base

from wsfast.transport import Transport

__all__ = ["Opened"]

@disjoint_base
class Opened(Transport):
    state: Any
    @property
    def subprotocol(self) -> str | None: ...
    @property
    def request(self) -> Any: ...
    @property
    def path_params(self) -> dict[str, str | int]: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
