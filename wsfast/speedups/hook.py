"""Hears of imports: calls back right after a watched module was executed.

A finder in front of `sys.meta_path` lets the other finders find a watched module and puts a
loader around theirs. The module never sees it: before its code runs, `__loader__` and
`__spec__.loader` are what they would have been.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = ["ImportHook", "is_imported"]


def is_imported(name: str) -> bool:
    """Whether a module's code has run to its end."""
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


class ImportHook:
    """Watches for imports of given modules.

    Args:
        imported: called with the name of a watched module each time that its code has run, in
            the thread that imports it and before anybody else sees it.
    """

    def __init__(self, imported: Callable[[str], None]) -> None:
        self._imported = imported
        self._watched: frozenset[str] = frozenset()

    def watch(self, names: frozenset[str]) -> None:
        """Watch exactly these; with none the hook leaves `sys.meta_path`."""
        self._watched = names
        if names and self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        elif not names and self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """For a watched module what the other finders find, with our loader around theirs."""
        if fullname not in self._watched:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = cast("Loader", _Telling(spec.loader, self._imported))
                return spec
        return None


class _Telling:
    """The loader of somebody else, and word of it when it is done."""

    def __init__(self, loader: Any, imported: Callable[[str], None]) -> None:
        self._loader = loader
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._imported(module.__name__)
