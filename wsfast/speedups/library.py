"""One library in this process: its parts are filled when they are imported, and emptied again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .guard import Refused, find, judge, version_of, version_problem
from .hook import is_imported
from .report import Report, State
from .target import LEVELS, Level, Part, Slot, Target

if TYPE_CHECKING:
    from logging import Logger
    from random import Random

__all__ = ["Library", "SpeedupsError", "Wish"]


def _logger() -> Logger:
    import logging

    return logging.getLogger("wsfast.speedups")


class SpeedupsError(RuntimeError):
    """`install(strict=True)` could not do what it was asked to."""


class Wish(NamedTuple):
    """How a library is to be patched."""

    level: Level = "frames"
    strict: bool = False
    allow_untested: bool = False


class Filled(NamedTuple):
    """A slot that holds ours."""

    slot: Slot
    owner: Any
    name: str
    original: Any
    ours: Any

    def put_back(self) -> bool:
        """Restore the original; False if somebody has patched over ours since."""
        if vars(self.owner).get(self.name) is not self.ours:
            return False
        setattr(self.owner, self.name, self.original)
        return True


class Library:
    """The state of one target.

    Attributes:
        target: what is told about it.
        wish: how it is to be patched; None while nobody asked.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.wish: Wish | None = None
        self._filled: dict[str, list[Filled]] = {}  # by trigger
        self._levels: dict[str, Level] = {}
        self._problems: dict[str, tuple[State, str]] = {}

    @property
    def triggers(self) -> frozenset[str]:
        """The modules whose import it waits for, or has waited for."""
        return frozenset(part.trigger for part in self.target.parts)

    # --- asking --------------------------------------------------------------------------------

    def ask(self, wish: Wish) -> None:
        """Fill every part that is imported; the others follow on import.

        Raises:
            SpeedupsError: the wish is strict, and a part cannot be filled as deep.
        """
        if self.wish is not None and self.wish.level != wish.level:
            self.release()
        self.wish = wish
        self._problems.clear()
        if wish.strict and version_of(self.target) is None:
            raise SpeedupsError(f"{self.target.library} is not installed")
        for part in self.target.parts:
            if is_imported(part.trigger) and part.trigger not in self._filled:
                self._fill(part, wish)

    def imported(self, trigger: str) -> None:
        """A trigger's code has run, for the first time or again."""
        if self.wish is None:
            return
        self._filled.pop(trigger, None)
        for part in self.target.parts:
            if part.trigger == trigger:
                self._fill(part, self.wish)

    def release(self) -> None:
        """Put every original back, the last one filled first, and wait for nothing any more."""
        for trigger in reversed(list(self._filled)):
            for filled in reversed(self._filled.pop(trigger)):
                if not filled.put_back():
                    _logger().warning("%s was patched over, and stays", filled.slot.where)
        self._levels.clear()
        self._problems.clear()
        self.wish = None

    # --- filling -------------------------------------------------------------------------------

    def _fill(self, part: Part, wish: Wish) -> None:
        problem = self._version_problem(wish) or part.unpatchable()
        if problem:
            self._keep_problem(part, "skipped", problem, wish)
            return
        try:
            slots = tuple(part.slots())
        except Exception as error:
            self._keep_problem(part, "refused", f"{type(error).__name__}: {error}", wish)
            return
        for level in reversed(LEVELS[: LEVELS.index(wish.level) + 1]):
            chosen = _slots_of(slots, level)
            if not chosen and level != wish.level:
                return
            try:
                self._fill_level(part, chosen, level)
            except Refused as refusal:
                self._keep_problem(part, "refused", str(refusal), wish)
            else:
                return

    def _version_problem(self, wish: Wish) -> str | None:
        version = version_of(self.target)
        if version is None:
            return f"{self.target.library} has no metadata to read its version from"
        return None if wish.allow_untested else version_problem(self.target, version)

    def _keep_problem(self, part: Part, state: State, problem: str, wish: Wish) -> None:
        self._problems[part.trigger] = (state, problem)
        _logger().warning("%s is not replaced as asked: %s", part.trigger, problem)
        if wish.strict:
            raise SpeedupsError(f"{self.target.library}: {problem}")

    def _fill_level(self, part: Part, slots: list[Slot], level: Level) -> None:
        from random import Random

        filled: list[Filled] = []
        try:
            for slot, owner, name, original in list(_checked(slots)):
                ours = slot.make(original)
                setattr(owner, name, ours)
                filled.append(Filled(slot, owner, name, original, ours))
            part.selftest({each.slot.where: each.original for each in filled}, level, Random())
        except BaseException as error:
            for each in reversed(filled):
                each.put_back()
            if isinstance(error, Exception):
                raise Refused(f"{type(error).__name__}: {error}") from error
            raise
        if filled:
            self._filled[part.trigger] = filled
            self._levels[part.trigger] = level
        for each in filled:
            _logger().debug("%s is replaced", each.slot.where)

    # --- telling -------------------------------------------------------------------------------

    @property
    def originals(self) -> dict[str, Any]:
        """What the filled slots held before, by `Slot.where`."""
        return {each.slot.where: each.original for each in self._all_filled()}

    def selftest(self, random: Random) -> None:
        """Compare every filled part with its originals once more; raises what that raises."""
        for part in self.target.parts:
            filled = self._filled.get(part.trigger)
            if filled:
                originals = {each.slot.where: each.original for each in filled}
                part.selftest(originals, self._levels[part.trigger], random)

    def report(self) -> Report:
        """The state as it is now."""
        slots = [each.slot.where for each in self._all_filled()]
        state, problem = self._state()
        levels = set(self._levels.values())
        return Report(
            library=self.target.library,
            version=version_of(self.target) or "",
            level="" if not slots else "frames" if "frames" in levels else "kernels",
            state=state,
            slots=tuple(slots),
            stale=tuple(_stale(self._all_filled())),
            note="; ".join(each for each in (problem, self.target.note) if each),
        )

    def _all_filled(self) -> Iterator[Filled]:
        for filled in self._filled.values():
            yield from filled

    def _state(self) -> tuple[State, str]:
        problem = "; ".join(dict.fromkeys(text for _, text in self._problems.values()))
        if any(self._filled.values()):
            return "active", problem
        if version_of(self.target) is None:
            return "not-installed", problem
        if self.wish is None:
            return "inactive", problem
        if self._problems:
            return next(iter(self._problems.values()))[0], problem
        if any(is_imported(trigger) for trigger in self.triggers):
            return "skipped", f"nothing to replace at level {self.wish.level}"
        return "pending", self._version_problem(self.wish) or ""


def _slots_of(slots: tuple[Slot, ...], level: Level) -> list[Slot]:
    """The slots up to a level; of two for one place the later one."""
    allowed = LEVELS[: LEVELS.index(level) + 1]
    return list({each.where: each for each in slots if each.level in allowed}.values())


def _checked(slots: list[Slot]) -> Iterator[tuple[Slot, Any, str, Any]]:
    """Every slot with its owner, name and original, after all of the checks; raises Refused."""
    for slot in slots:
        try:
            owner, name, original = find(slot.where)
        except Refused:
            if slot.optional:
                continue
            raise
        judge(slot, original)
        yield slot, owner, name, original


def _stale(filled: Iterator[Filled]) -> list[str]:
    """Globals of other modules that are one of the originals: `from x import y` made them."""
    originals = {id(each.original): each for each in filled}
    found: list[str] = []
    for name, module in list(sys.modules.items() if originals else ()):
        if name.startswith("wsfast.") or not hasattr(module, "__dict__"):
            continue
        for key, value in list(vars(module).items()):
            if id(value) in originals and originals[id(value)].original is value:
                found.append(f"{name}.{key}")
    return sorted(found)
