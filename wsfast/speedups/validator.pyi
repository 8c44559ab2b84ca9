from collections.abc import Sequence
from typing import ClassVar

from typing_extensions import Buffer, Never, disjoint_base

__all__ = ["UTF8_ACCEPT", "UTF8_REJECT", "Utf8Validator"]

UTF8_ACCEPT: int
UTF8_REJECT: int

@disjoint_base
class Utf8Validator:
    UTF8_ACCEPT: ClassVar[int]
    UTF8_REJECT: ClassVar[int]
    state: int
    i: int
    codepoint: int
    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
    def decode(self, b: int) -> int: ...
    def reset(self) -> None: ...
    def validate(self, ba: Buffer | Sequence[int]) -> tuple[bool, bool, int, int]: ...
