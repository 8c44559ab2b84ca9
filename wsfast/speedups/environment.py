"""What the environment says: `WSFAST_SPEEDUPS`, the default of install() and the kill switch."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from .target import LEVELS, Level

__all__ = ["UNTESTED", "VARIABLE", "Wishes", "normalised", "read_environment"]

VARIABLE = "WSFAST_SPEEDUPS"
UNTESTED = "WSFAST_SPEEDUPS_UNTESTED"

OFF = frozenset({"off", "0", "no", "false"})
EVERYTHING = frozenset({"all", "on", "1", "yes", "true", ""})


class Wishes(NamedTuple):
    """What was asked for where the code says nothing.

    Attributes:
        off: nothing may be patched, whatever the code asks for.
        libraries: which ones; empty: every one that is supported.
        level: how deep.
        allow_untested: versions outside of the tested range too.
    """

    off: bool = False
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


def read_environment(known: Collection[str]) -> Wishes:
    """Read both variables.

    `WSFAST_SPEEDUPS` is "off", "all", or a list with commas of library names, of which one word
    may be a level: "kernels", "websockets,wsproto", "frames,tornado".

    Raises:
        ValueError: a word is none of these.
    """
    words = [each.strip().lower() for each in os.environ.get(VARIABLE, "").split(",")]
    if OFF & set(words):
        return Wishes(off=True)
    levels = [each for each in LEVELS if each in words]
    names = [each for each in words if each not in EVERYTHING and each not in LEVELS]
    try:
        libraries = tuple(normalised(each, known) for each in names)
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}; or off, all, {', '.join(LEVELS)}") from None
    untested = os.environ.get(UNTESTED, "").strip().lower()
    return Wishes(
        libraries=libraries,
        level=levels[0] if levels else "frames",
        allow_untested=bool(untested) and untested not in OFF,
    )
