"""What is told about a library: where it is patched, how that is checked, what it gains.

A module of this package describes one library as a `Target`. Nothing here imports a library: the
functions of a `Part` are called after its trigger was imported by somebody else. All are made with
keywords.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from random import Random
    from types import ModuleType

__all__ = ["LEVELS", "Level", "Originals", "Part", "Slot", "Target", "Workload"]

Level = Literal["kernels", "frames"]

#: What is replaced, the deeper level last: masking and UTF-8; and whole frames.
LEVELS: tuple[Level, ...] = ("kernels", "frames")

#: What a part's slots held before, by `Slot.where`.
Originals = Mapping[str, Any]


class Slot(NamedTuple):
    """One attribute of a library that is rebound.

    Attributes:
        where: module and dotted name, "websockets.frames:Frame.parse". The last name is looked up
            in its owner's own `__dict__`, never in a base class.
        make: called with the original as it stands in that `__dict__` (a function, a class, a
            classmethod or staticmethod object); returns what takes its place, of the same kind.
        level: the level from which on it is replaced.
        parameters: the names of the original's parameters, in order; None where it has no
            signature (a class or function written in C).
        fingerprints: of the sources it was tested with (`guard.fingerprint`); empty: any.
        optional: an original that some tested versions lack.
    """

    where: str
    make: Callable[[Any], Any]
    level: Level = "kernels"
    parameters: tuple[str, ...] | None = None
    fingerprints: frozenset[str] = frozenset()
    optional: bool = False


class Part(NamedTuple):
    """The slots that are rebound together, once a module of the library has been imported.

    Attributes:
        trigger: the module after whose import the slots are filled; it has imported everything
            that `slots` and `selftest` look at.
        slots: returns them; the place to import our compiled modules.
        selftest: compares the rebound attributes with the originals on random inputs, for a few
            milliseconds, and says what reached us; raises `selftest.Mismatch` (or anything else).
            Called with the originals, the level that is filled, and a source of randomness.
        unpatchable: says why this installation cannot gain (a compiled variant, as an example);
            None if it can.
    """

    trigger: str
    slots: Callable[[], Sequence[Slot]]
    selftest: Callable[[Originals, Level, Random], None]
    unpatchable: Callable[[], str | None] = lambda: None


class Workload(NamedTuple):
    """One call path of a library that `python -m wsfast.speedups bench` times.

    Attributes:
        name: what it does, "parse masked text" as an example.
        size: payload bytes of one frame.
        frames: frames per call of `run`.
        run: does it once, through the library's own public or sans-I/O calls.
    """

    name: str
    size: int
    run: Callable[[], object]
    frames: int = 1


class Target(NamedTuple):
    """One library.

    Attributes:
        library: its name on the package index.
        package: the name that it is imported by.
        tested: the oldest version that was tested, and the first that was not: [oldest, first).
        parts: what is rebound, by trigger.
        workloads: what `bench` times; called after the library was imported.
        by_default: whether `install()` without names takes it.
        note: what its users should know; shown by `status`.
        modules: makes what is imported by these names where the library is not installed; None
            if the library is not one that others can do without.
    """

    library: str
    package: str
    tested: tuple[str, str]
    parts: tuple[Part, ...]
    workloads: Callable[[], Sequence[Workload]]
    by_default: bool = True
    note: str = ""
    modules: Callable[[], Mapping[str, ModuleType]] | None = None
