"""What the environment says: `WSFAST_SPEEDUPS`, the default of install() and the kill switch."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import NamedTuple

from .target import LEVELS, Level

__all__ = ["UNTESTED", "VARIABLE", "Wishes", "normalised", "read_environment"]

VARIABLE = "WSFAST_SPEEDUPS"
UNTESTED = "WSFAST_SPEEDUPS_UNTESTED"

OFF = frozenset({"off", "0", "no", "false"})
EVERYTHING = frozenset({"all", "on", "1", "yes", "true"})


class Wishes(NamedTuple):
    """What was asked for where the code says nothing.

    Attributes:
        off: nothing may be patched, whatever the code asks for.
        everything: every library that `install()` takes by itself.
        libraries: these, too.
        level: how deep.
        allow_untested: versions outside of the tested range too.
    """

    off: bool = False
    everything: bool = True
    libraries: tuple[str, ...] = ()
    level: Level = "frames"
    allow_untested: bool = False


def normalised(name: str, known: Collection[str]) -> str:
    """The library's name as the package index spells it.

    Raises:
        ValueError: it is none of the known ones.
    """
    found = name.strip().lower().replace("_", "-")
    if found not in known:
        raise ValueError(f"{name!r} is no library that wsfast speeds up: {', '.join(known)}")
    return found


def read_environment(
    known: Collection[str], environment: Mapping[str, str] = os.environ
) -> Wishes:
    """Read both variables.

    `WSFAST_SPEEDUPS` is "off", "all", or a list with commas of library names, of which one word
    may be a level: "kernels", "websockets,wsproto", "frames,tornado", "all,wsaccel".

    Raises:
        ValueError: a word is none of these, or both levels are there.
    """
    words = [each.strip().lower() for each in environment.get(VARIABLE, "").split(",")]
    if OFF & set(words):
        return Wishes(off=True)
    levels = [each for each in LEVELS if each in words]
    if len(levels) > 1:
        raise ValueError(f"{VARIABLE}: one of {', '.join(LEVELS)}, not both")
    names = [each for each in words if each and each not in EVERYTHING and each not in LEVELS]
    try:
        libraries = tuple(normalised(each, known) for each in names)
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}; or off, all, {', '.join(LEVELS)}") from None
    untested = environment.get(UNTESTED, "").strip().lower()
    return Wishes(
        everything=not libraries or not EVERYTHING.isdisjoint(words),
        libraries=libraries,
        level=levels[0] if levels else "frames",
        allow_untested=bool(untested) and untested not in OFF,
    )
