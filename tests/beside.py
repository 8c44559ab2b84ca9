"""Programs of a directory of tests, which find their neighbours beside themselves."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

__all__ = ["beside"]


@contextlib.contextmanager
def beside(directory: Path, name: str) -> Iterator[ModuleType]:
    """The module of that name, imported anew.

    Other directories have modules of the same names (`run`), and other tests have imported them in
    this process: those are put aside, and come back.
    """
    names = {each.stem for each in directory.glob("*.py") if not each.stem.startswith("test_")}
    others = {each: sys.modules.pop(each) for each in names if each in sys.modules}
    path = sys.path[:]
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(name)
    finally:
        sys.path[:] = path
        for each in names:
            sys.modules.pop(each, None)
        sys.modules.update(others)
