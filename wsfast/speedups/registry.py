"""All libraries, the lock around them, and the import hook that they share.

An import ends in a thread that holds import locks, while another thread may hold the lock here and
wait for one of those. So the import hook never waits: it leaves its news, and whoever holds the
lock handles them when letting go.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence

from .environment import VARIABLE, normalised, read_environment
from .guard import version_of
from .hook import ImportHook
from .library import Library, SpeedupsError, Wish
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
    names = [f"{__package__}.{each.replace('-', '_')}" for each in LIBRARIES]
    return [importlib.import_module(each).TARGET for each in names]


class Registry:
    """What is patched in this process; `wsfast.speedups` has the only one that matters.

    Args:
        targets: other ones than those of this package; for tests.
    """

    def __init__(self, targets: list[Target] | None = None) -> None:
        self._targets = targets
        self._loaded: dict[str, Library] = {}
        self._blocks: list[dict[str, Wish | None]] = []
        self._news: deque[str] = deque()
        self._lock = threading.RLock()
        self._hook = ImportHook(self._imported)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def install(
        self,
        *libraries: str,
        level: Level | None = None,
        strict: bool = False,
        allow_untested: bool | None = None,
    ) -> None:
        """See `wsfast.speedups.install`."""
        with self._held():
            self._install(libraries, level, strict, allow_untested)

    def uninstall(self, *libraries: str) -> None:
        """See `wsfast.speedups.uninstall`."""
        with self._held():
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
        with self._held():
            before = self._install(libraries, level, strict, allow_untested)
            self._blocks.append(before)
        try:
            yield
        finally:
            with self._held():
                self._leave(before)

    def status(self, *libraries: str) -> tuple[Report, ...]:
        """See `wsfast.speedups.status`."""
        with self._held():
            known = self._libraries()
            names = [normalised(each, known) for each in libraries] or list(known)
            reports = tuple(known[name].report() for name in names)
            if read_environment(known).off:
                told = f"{VARIABLE} turns everything off"
                return tuple(each._replace(note=told) for each in reports)
            return reports

    def library(self, name: str) -> Library:
        """The state of one library, by its name."""
        with self._held():
            known = self._libraries()
            return known[normalised(name, known)]

    def _libraries(self) -> dict[str, Library]:
        if not self._loaded:
            targets = _load_targets() if self._targets is None else self._targets
            self._loaded = {each.library: Library(each) for each in targets}
        return self._loaded

    def _defaults(self) -> list[str]:
        return [name for name, each in self._loaded.items() if each.target.by_default]

    # --- asking --------------------------------------------------------------------------------

    def _install(
        self,
        libraries: Sequence[str],
        level: Level | None,
        strict: bool,
        allow_untested: bool | None,
    ) -> dict[str, Wish | None]:
        """Returns how each library that is asked now was asked before."""
        if level is not None and level not in LEVELS:
            raise ValueError(f"level is {' or '.join(map(repr, LEVELS))}, not {level!r}")
        known = self._libraries()
        wishes = read_environment(known)
        names = [normalised(each, known) for each in libraries]
        if wishes.off:
            return {}
        names = names or [*(self._defaults() if wishes.everything else ()), *wishes.libraries]
        untested = wishes.allow_untested if allow_untested is None else allow_untested
        wish = Wish(level or wishes.level, strict, untested)
        before = {name: known[name].wish for name in names}
        self._watch(*names)  # before anything is looked at: what is imported meanwhile is heard of
        try:
            for name in names:
                known[name].ask(wish if libraries else self._forgiving(known[name], wish))
        except SpeedupsError:
            for name, wish_before in before.items():
                self._back_to(known[name], wish_before)
            raise
        finally:
            self._watch()
        return before

    def _forgiving(self, library: Library, wish: Wish) -> Wish:
        """Who names no library does not miss one that is not installed."""
        absent = wish.strict and version_of(library.target) is None
        return wish._replace(strict=False) if absent else wish

    def _leave(self, before: dict[str, Wish | None]) -> None:
        """End a `with` block. What a later one, of another thread, asked for as well stays its."""
        place = next(n for n, each in enumerate(self._blocks) if each is before)
        del self._blocks[place]
        for name, wish in before.items():
            later = next((each for each in self._blocks[place:] if name in each), None)
            if later is not None:
                later[name] = wish
            else:
                self._back_to(self._loaded[name], wish)
        self._watch()

    def _back_to(self, library: Library, wish: Wish | None) -> None:
        if library.wish == wish:
            return
        library.release()
        if wish is not None:
            library.ask(wish)

    # --- hearing -------------------------------------------------------------------------------

    def _watch(self, *names: str) -> None:
        """Watch for what has been asked for, and for the libraries named."""
        asked = [
            each.triggers
            for name, each in self._loaded.items()
            if each.wish is not None or name in names
        ]
        self._hook.watch(frozenset().union(*asked))

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            self._hear()

    def _imported(self, module: str) -> None:
        self._news.append(module)
        self._hear(module)

    def _hear(self, own: str = "") -> None:
        """Handle all news, unless another thread holds the lock.

        Args:
            own: whose import it is that ends here; only for that an error is raised.
        """
        failure = None
        while self._news and self._lock.acquire(blocking=False):
            try:
                while self._news:
                    module = self._news.popleft()
                    try:
                        self._tell(module)
                    except SpeedupsError as error:
                        failure = error if module == own else failure
            finally:
                self._lock.release()
        if failure is not None:
            raise failure

    def _tell(self, module: str) -> None:
        for library in self._loaded.values():
            library.imported(module)

    def _forked(self) -> None:
        """In a forked child there is no other thread that would ever let go of the lock."""
        self._lock = threading.RLock()
