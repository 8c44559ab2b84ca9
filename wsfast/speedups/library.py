"""One library in this process: its parts are filled when they are imported, and emptied again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from .guard import Refused, find, judge, version_of, version_problem
from .hook import is_imported, namespace, wait_for_import
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
        self._problems: dict[str, tuple[State, str]] = {}  # by trigger
        self._covered: list[Filled] = []  # somebody has patched over ours, and may call it
        self._supplied: dict[str, ModuleType] = {}  # in sys.modules, by name

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
        self._problems = {
            name: self._problems[name] for name in self._problems if name in self._filled
        }
        if self.target.modules is not None and version_of(self.target) is None:
            self._supply(wish)
            return
        if wish.strict:
            self._check_strictly()
        self._catch_up(wish, wait_for_import)

    def imported(self, trigger: str) -> None:
        """A module's code has run, for the first time or again; it may be none of ours."""
        if self.wish is None:
            return
        if trigger in self.triggers:
            self._empty(trigger)
            self._problems.pop(trigger, None)
        for part in self.target.parts:
            if part.trigger == trigger:
                self._fill(part, self.wish)
        self._catch_up(self.wish._replace(strict=False), is_imported)

    def release(self) -> None:
        """Put every original back, the last one filled first, and wait for nothing any more."""
        for name, module in self._supplied.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        self._supplied.clear()
        self._uncover()
        for trigger in reversed(list(self._filled)):
            self._covered += self._empty(trigger)
        for each in self._covered:
            _logger().warning("%s was patched over, and stays", each.slot.where)
        self._problems.clear()
        self.wish = None

    def _check_strictly(self) -> None:
        if version_of(self.target) is None:
            raise SpeedupsError(f"{self.target.library} is not installed")
        for _, problem in self._problems.values():
            raise SpeedupsError(f"{self.target.library}: {problem}")

    def _supply(self, wish: Wish) -> None:
        """Have an import of the absent library find ours; a module that is there stays."""
        if self._supplied or self.target.modules is None:
            return
        try:
            modules = self.target.modules()
        except Exception as error:
            self._keep_problem(self.target.package, "refused", _told(error), wish)
            return
        taken = [name for name in modules if name in sys.modules]
        if not taken:
            self._supplied.update(modules)
            sys.modules.update(modules)
        else:
            told = f"{taken[0]} is there, but {self.target.library} not installed"
            self._keep_problem(self.target.package, "refused", told, wish)

    def _catch_up(self, wish: Wish, is_there: Callable[[str], bool]) -> None:
        """Fill what is imported and was not looked at yet."""
        for part in self.target.parts:
            looked_at = part.trigger in self._filled or part.trigger in self._problems
            if not looked_at and is_there(part.trigger):
                self._fill(part, wish)

    def _empty(self, trigger: str) -> list[Filled]:
        """Put the originals of one part back; returns what does not hold ours any more."""
        filled = self._filled.pop(trigger, [])
        self._levels.pop(trigger, None)
        return [each for each in reversed(filled) if not each.put_back()]

    def _uncover(self) -> None:
        """Put back what was patched over by somebody who is gone."""
        self._covered = [each for each in self._covered if not each.put_back()]

    # --- filling -------------------------------------------------------------------------------

    def _fill(self, part: Part, wish: Wish) -> None:
        """Fill a part as deep as it goes; whatever is wrong is kept, and raised if strict."""
        self._uncover()
        try:
            problem = self._version_problem(wish)
            if problem:
                self._keep_problem(part.trigger, "skipped", problem, wish)
            elif problem := part.unpatchable():
                self._keep_problem(part.trigger, "skipped", problem, wish, expected=True)
            else:
                self._fill_deepest(part, tuple(part.slots()), wish)
        except SpeedupsError:
            raise
        except Exception as error:
            self._keep_problem(part.trigger, "refused", _told(error), wish)

    def _fill_deepest(self, part: Part, slots: tuple[Slot, ...], wish: Wish) -> None:
        for level in reversed(LEVELS[: LEVELS.index(wish.level) + 1]):
            chosen = _slots_of(slots, level)
            try:
                self._fill_level(part, chosen, level)
            except Refused as refusal:
                self._keep_problem(part.trigger, "refused", str(refusal), wish)
            else:
                return

    def _version_problem(self, wish: Wish) -> str | None:
        version = version_of(self.target)
        if version is None:
            return f"{self.target.library} has no metadata to read its version from"
        return None if wish.allow_untested else version_problem(self.target, version)

    def _keep_problem(
        self, where: str, state: State, problem: str, wish: Wish, *, expected: bool = False
    ) -> None:
        before = self._problems.get(where)
        told = problem if before is None or before[1] == problem else f"{before[1]}; {problem}"
        self._problems[where] = (state, told)
        say = _logger().info if expected else _logger().warning
        say("%s is not replaced as asked: %s", where, problem)
        if wish.strict:
            raise SpeedupsError(f"{self.target.library}: {problem}")

    def _fill_level(self, part: Part, slots: list[Slot], level: Level) -> None:
        """Fill all of these, or none.

        What is filled stands in its list before it is: a child that another thread forks
        meanwhile knows the originals.

        Raises:
            Refused: a check or the self-test says no.
        """
        from random import Random

        filled = self._filled[part.trigger] = []
        self._levels[part.trigger] = level
        try:
            for slot, owner, name, original in list(_checked(slots)):
                each = Filled(slot, owner, name, original, slot.make(original))
                filled.append(each)
                setattr(owner, name, each.ours)
            if filled:
                part.selftest({each.slot.where: each.original for each in filled}, level, Random())
        except BaseException as error:
            self._empty(part.trigger)
            if isinstance(error, Refused) or not isinstance(error, Exception):
                raise
            raise Refused(_told(error)) from error
        for each in filled:
            _logger().debug("%s is replaced", each.slot.where)

    # --- telling -------------------------------------------------------------------------------

    @property
    def originals(self) -> dict[str, Any]:
        """What the filled slots held before, by `Slot.where`."""
        return {each.slot.where: each.original for each in self._all_filled()}

    @property
    def refusals(self) -> list[str]:
        """Which checks did not pass, the self-test among them."""
        return [problem for state, problem in self._problems.values() if state == "refused"]

    def selftest(self, random: Random) -> None:
        """Compare every filled part with its originals once more; raises what that raises."""
        for part in self.target.parts:
            filled = self._filled.get(part.trigger)
            if filled:
                originals = {each.slot.where: each.original for each in filled}
                part.selftest(originals, self._levels[part.trigger], random)

    def report(self) -> Report:
        """The state as it is now."""
        slots = [*self._supplied, *(each.slot.where for each in self._all_filled())]
        state, problem = self._state()
        levels = {each.slot.level for each in self._all_filled()}
        covered = [f"{each.slot.where} was patched over, and stays" for each in self._covered]
        return Report(
            library=self.target.library,
            version=version_of(self.target) or "",
            level="" if not slots else "frames" if "frames" in levels else "kernels",
            state=state,
            slots=tuple(slots),
            stale=tuple(_stale(self._all_filled())),
            note="; ".join(each for each in (problem, *covered, self.target.note) if each),
        )

    def _all_filled(self) -> Iterator[Filled]:
        for filled in self._filled.values():
            yield from filled

    def _state(self) -> tuple[State, str]:
        problem = "; ".join(dict.fromkeys(text for _, text in self._problems.values()))
        if self._supplied or any(self._filled.values()):
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


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


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
    originals = {id(each.original): each.original for each in filled if callable(each.original)}
    found: list[str] = []
    if not originals:
        return found
    # Copies: a collection while items() makes its pairs runs finalizers, and lets threads import.
    for name, module in sys.modules.copy().items():
        # By type: cffi's libraries give themselves out for modules.
        if name.startswith("wsfast.") or not issubclass(type(module), ModuleType):
            continue
        for key, value in namespace(module).copy().items():
            if originals.get(id(value)) is value is not None:
                found.append(f"{name}.{key}")
    return sorted(found)
