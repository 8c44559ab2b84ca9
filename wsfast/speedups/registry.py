"""All libraries, the lock around them, and the import hook that they share."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator

from .environment import VARIABLE, normalised, read_environment
from .hook import ImportHook
from .library import Library, Wish
from .report import Report
from .target import LEVELS, Level, Target

__all__ = ["LIBRARIES", "Registry"]

#: Every supported library; its module here has underscores for dashes.
LIBRARIES = (
    "websockets",
    "wsproto",
    "aiohttp",
    "tornado",
    "websocket-client",
    "autobahn",
    "paho-mqtt",
    "ws4py",
    "gevent-websocket",
    "eventlet",
    "lomond",
    "websockify",
    "wsaccel",
)


def _load_targets() -> list[Target]:
    found = []
    for each in LIBRARIES:
        try:
            found.append(importlib.import_module(f"{__package__}.{each.replace('-', '_')}").TARGET)
        except (ModuleNotFoundError, AttributeError):
            continue
    return found


class Registry:
    """What is patched in this process; `wsfast.speedups` has the only one that matters.

    Args:
        targets: other ones than those of this package; for tests.
    """

    def __init__(self, targets: list[Target] | None = None) -> None:
        self._targets = targets
        self._loaded: dict[str, Library] = {}
        self._lock = threading.RLock()
        self._hook = ImportHook(self._imported)

    def install(
        self,
        *libraries: str,
        level: Level | None = None,
        strict: bool = False,
        allow_untested: bool | None = None,
    ) -> None:
        """See `wsfast.speedups.install`."""
        if level is not None and level not in LEVELS:
            raise ValueError(f"level is {' or '.join(map(repr, LEVELS))}, not {level!r}")
        with self._lock:
            known = self._libraries()
            wishes = read_environment(known)
            names = [normalised(each, known) for each in libraries]
            if wishes.off:
                return
            names = names or list(wishes.libraries) or self._defaults()
            untested = wishes.allow_untested if allow_untested is None else allow_untested
            wish = Wish(level or wishes.level, strict and bool(libraries), untested)
            try:
                for name in names:
                    known[name].ask(wish)
            finally:
                self._watch()

    def uninstall(self, *libraries: str) -> None:
        """See `wsfast.speedups.uninstall`."""
        with self._lock:
            known = self._libraries()
            for name in [normalised(each, known) for each in libraries] or list(known)[::-1]:
                known[name].release()
            self._watch()

    @contextlib.contextmanager
    def installed(
        self,
        *libraries: str,
        level: Level | None = None,
        strict: bool = False,
        allow_untested: bool | None = None,
    ) -> Iterator[None]:
        """See `wsfast.speedups.installed`."""
        with self._lock:
            before = {name: each.wish for name, each in self._libraries().items()}
        try:
            self.install(*libraries, level=level, strict=strict, allow_untested=allow_untested)
            yield
        finally:
            with self._lock:
                for name, library in self._libraries().items():
                    self._back_to(library, before[name])
                self._watch()

    def status(self, *libraries: str) -> tuple[Report, ...]:
        """See `wsfast.speedups.status`."""
        with self._lock:
            known = self._libraries()
            names = [normalised(each, known) for each in libraries] or list(known)
            reports = tuple(known[name].report() for name in names)
            if read_environment(known).off:
                told = f"{VARIABLE} turns everything off"
                return tuple(each._replace(note=told) for each in reports)
            return reports

    def library(self, name: str) -> Library:
        """The state of one library, by its name."""
        with self._lock:
            known = self._libraries()
            return known[normalised(name, known)]

    def _libraries(self) -> dict[str, Library]:
        if not self._loaded:
            targets = _load_targets() if self._targets is None else self._targets
            self._loaded = {each.library: Library(each) for each in targets}
        return self._loaded

    def _defaults(self) -> list[str]:
        return [name for name, each in self._loaded.items() if each.target.by_default]

    def _back_to(self, library: Library, wish: Wish | None) -> None:
        if library.wish == wish:
            return
        library.release()
        if wish is not None:
            library.ask(wish)

    def _watch(self) -> None:
        asked = [each.triggers for each in self._loaded.values() if each.wish is not None]
        self._hook.watch(frozenset().union(*asked))

    def _imported(self, module: str) -> None:
        with self._lock:
            for library in self._loaded.values():
                if module in library.triggers:
                    library.imported(module)
