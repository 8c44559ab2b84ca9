from typing import final

from typing_extensions import Self

__all__ = ["WAYS", "Reply"]

WAYS: dict[str, int]

@final
class Reply:
    def __new__(cls, match: str, *, text: bool = False) -> Self: ...
    def sequence_of(self, payload: bytes, number: int, oldest: int) -> int | None: ...
