"""Hears of imports: calls back right after a watched module was executed.

A finder in front of `sys.meta_path` lets the other finders find a watched module and puts a
loader around theirs. The module never sees it: before its code runs, `__loader__` and
`__spec__.loader` are what they would have been.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from threading import get_ident
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = ["ImportHook", "is_imported", "namespace", "wait_for_import"]


def namespace(module: ModuleType) -> dict[str, Any]:
    """The `__dict__` of a module, whatever its class makes of a look into it."""
    found: dict[str, Any] = vars(ModuleType)["__dict__"].__get__(module)
    return found


def is_imported(name: str) -> bool:
    """Whether a module's code has run to its end; that of a lazy one has not before it is used."""
    module = sys.modules.get(name)
    return module is not None and not _is_lazy(module) and not _is_under_way(module)


def wait_for_import(name: str) -> bool:
    """Let another thread finish its import of this module; whether it is imported then.

    This thread's own import, under way further up, cannot be waited for.
    """
    module = sys.modules.get(name)
    if not _is_lazy(module) and _is_under_way(module):
        with contextlib.suppress(ImportError):  # the other thread's import failed meanwhile
            __import__(name)
    return is_imported(name)


def _is_lazy(module: object) -> bool:
    """Whether it loads at the first look into it, as those of `importlib.util.LazyLoader` do."""
    kind = type(module)
    return (
        issubclass(kind, ModuleType) and kind.__getattribute__ is not ModuleType.__getattribute__
    )


def _is_under_way(module: object) -> bool:
    if not issubclass(type(module), ModuleType):  # cffi's libraries give themselves out for one
        return False
    return getattr(namespace(cast(ModuleType, module)).get("__spec__"), "_initializing", False)


class ImportHook:
    """Watches for imports of given modules.

    Args:
        imported: called with the name of a watched module each time that its code has run, in
            the thread that imports it and before anybody else sees it. That thread holds import
            locks: to wait there for another thread may be to wait for ever.
    """

    def __init__(self, imported: Callable[[str], None]) -> None:
        self._imported = imported
        self._watched: frozenset[str] = frozenset()
        self._asking: set[tuple[int, str]] = set()

    def watch(self, names: frozenset[str]) -> None:
        """Watch exactly these; with none the hook leaves `sys.meta_path`.

        It leaves by a new list: who walks the old one in another thread skips no finder.
        """
        self._watched = names
        if names and self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        elif not names and self in sys.meta_path:
            sys.meta_path = [each for each in sys.meta_path if each is not self]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """For a watched module what the other finders find, with our loader around theirs."""
        asking = (get_ident(), fullname)
        if fullname not in self._watched or asking in self._asking:
            return None  # the latter: one of the others asks all finders, and so us
        self._asking.add(asking)
        try:
            spec = self._ask_the_others(fullname, path, target)
        finally:
            self._asking.discard(asking)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = cast("Loader", _Telling(spec.loader, fullname, self._imported))
        return spec

    def _ask_the_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    return spec
        return None


class _Telling:
    """The loader of somebody else, and word of it when it is done."""

    def __init__(self, loader: Any, name: str, imported: Callable[[str], None]) -> None:
        self._loader = loader
        self._name = name
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_loader"), name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._imported(self._name)
