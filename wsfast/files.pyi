from collections.abc import Mapping
from selectors import SelectorKey
from typing import Any

from _typeshed import FileDescriptorLike
from typing_extensions import disjoint_base

__all__ = ["FileRegistry"]

@disjoint_base
class FileRegistry:
    @property
    def closed(self) -> bool: ...
    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> SelectorKey: ...
    def unregister(self, fileobj: FileDescriptorLike) -> SelectorKey: ...
    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> SelectorKey: ...
    def get_key(self, fileobj: FileDescriptorLike) -> SelectorKey: ...
    def get_map(self) -> Mapping[FileDescriptorLike, SelectorKey]: ...
