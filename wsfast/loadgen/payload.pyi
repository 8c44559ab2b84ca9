from typing import final

from typing_extensions import Self

from wsfast.loadgen.template import Template

__all__ = ["STAMP_SIZE", "Payload"]

STAMP_SIZE: int

@final
class Payload:
    def __new__(
        cls,
        content: bytes,
        *,
        text: bool = False,
        least: int | None = None,
        mean: float | None = None,
        verify: str = "full",
        stamped: bool = True,
        template: Template | None = None,
    ) -> Self: ...
    @property
    def opcode(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def least(self) -> int: ...
    @property
    def mean(self) -> float: ...
    def message_bytes(self, sequence: int, number: int, due_ns: int = 0) -> bytes: ...
    def matches(
        self, payload: bytes, sequence: int, number: int, due_ns: int = 0
    ) -> bool: ...
