"""A WebSocket library made up for a test: sources and metadata in a directory, and its Target."""

from __future__ import annotations

import contextlib
import functools
import importlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wsfast.speedups.registry import Registry
from wsfast.speedups.selftest import compare
from wsfast.speedups.target import Part, Slot, Target, Workload

__all__ = ["CHECK", "MASK", "PARSE", "SERIALIZE", "SHOUT", "Fake", "fake_library"]

SOURCES = {
    "__init__.py": '"""Imports nothing of itself."""\n',
    "frames.py": '''
        """What the first part waits for."""
        def mask(data, key):
            """XOR, byte for byte."""
            return bytes(byte ^ key[index % 4] for index, byte in enumerate(data))

        class Frame:
            """A payload."""
            limit = 125

            def __init__(self, payload: bytes) -> None:
                self.payload = payload

            def __eq__(self, other):
                return type(other) is type(self) and other.payload == self.payload

            def serialize(self, key):
                """The payload behind a key."""
                return key + mask(self.payload, key)

            @classmethod
            def parse(cls, data):
                """The frame that such bytes hold."""
                return cls(mask(data[4:], data[:4]))

            @staticmethod
            def check(data):
                return len(data) >= 4
    ''',
    "copies.py": '''
        """Took a copy of its own."""
        from .frames import Frame, mask
        copied = {"mask": mask}
    ''',
    "legacy.py": '''
        """What the second part waits for; a library's user may never import it."""
        def shout(text):
            return text.upper()
    ''',
    "circular.py": '''
        """Imports a module that imports it."""
        from . import ring
        def whole():
            return True
    ''',
    "ring.py": "from . import circular\n",
}

#: Where the slots are, below the package.
MASK, LEGACY = "frames:mask", "legacy:shout"
SERIALIZE, PARSE, CHECK = (f"frames:Frame.{name}" for name in ("serialize", "parse", "check"))
SHOUT = LEGACY


def fast(original: Any) -> Any:
    """What takes the place of an original: of the same kind, doing the same."""
    function = original.__func__ if hasattr(original, "__func__") else original

    @functools.wraps(function)
    def replaced(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    replaced.__wsfast__ = function  # type: ignore[attr-defined]
    return replaced if function is original else type(original)(replaced)


def is_fast(value: Any) -> bool:
    """Whether an attribute, looked up or as it stands in a `__dict__`, is one of ours."""
    function = getattr(value, "__func__", value)
    return getattr(function, "__wsfast__", 0) is getattr(function, "__wrapped__", 1)


class Fake:
    """A library on disk that can be imported, and what is told about it.

    Attributes:
        library: its name on the package index.
        package: the name that it is imported by.
        registry: knows this library and nothing else.
        selftests: the levels that its self-test was called with.
        wrong: levels at which the self-test does not agree.
    """

    def __init__(self, directory: Path, library: str, package: str) -> None:
        self.directory = directory
        self.library = library
        self.package = package
        self.selftests: list[str] = []
        self.wrong: set[str] = set()
        self.registry = Registry([self.target()])

    # --- on disk -------------------------------------------------------------------------------

    def write(self, version: str = "1.5") -> None:
        """Write the sources, and metadata of this version."""
        for name, source in SOURCES.items():
            self.write_module(name, source)
        for old in self.directory.glob("*.dist-info"):
            shutil.rmtree(old)
        info = self.directory / f"{self.library.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {self.library}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()

    def write_module(self, name: str, source: str) -> None:
        path = self.directory / self.package / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        importlib.invalidate_caches()

    def load(self, module: str = "frames") -> Any:
        """Import one of its modules."""
        return importlib.import_module(f"{self.package}.{module}")

    def loaded(self) -> dict[str, ModuleType]:
        """Its modules that are imported."""
        return {
            name: module
            for name, module in sys.modules.copy().items()
            if name.split(".")[0] == self.package
        }

    def forget(self) -> None:
        """Take its modules out of sys.modules."""
        for name in self.loaded():
            del sys.modules[name]

    # --- told ----------------------------------------------------------------------------------

    def where(self, slot: str) -> str:
        return f"{self.package}.{slot}"

    def slot(self, slot: str, make: Callable[[Any], Any] = fast, **told: Any) -> Slot:
        return Slot(where=self.where(slot), make=make, **told)

    def slots(self) -> list[Slot]:
        """The slots of the first part."""
        return [
            self.slot(MASK, parameters=("data", "key")),
            self.slot(SERIALIZE, level="frames", parameters=("self", "key")),
            self.slot(PARSE, level="frames", parameters=("cls", "data")),
            self.slot(CHECK, level="frames", parameters=("data",)),
        ]

    def selftest(self, originals: Any, level: str, random: Any) -> None:
        """Compares what stands in the first part with what stood there."""
        self.selftests.append(level)
        frames = self.load()
        compare("mask", originals[self.where(MASK)], frames.mask, random.randbytes(9), b"abcd")
        if level in self.wrong:
            raise ValueError(f"wrong at {level}")

    def part(self, trigger: str = "frames", **told: Any) -> Part:
        told = {"slots": self.slots, "selftest": self.selftest, **told}
        return Part(trigger=f"{self.package}.{trigger}", **told)

    def legacy_part(self) -> Part:
        return self.part(
            "legacy", slots=lambda: [self.slot(SHOUT)], selftest=lambda *arguments: None
        )

    def target(self, *parts: Part, **told: Any) -> Target:
        told = {"tested": ("1.0", "2"), "workloads": self.workloads, **told}
        chosen = parts or (self.part(), self.legacy_part())
        return Target(library=self.library, package=self.package, parts=chosen, **told)

    def tell(self, *parts: Part, **told: Any) -> Registry:
        """Another registry, which knows the library like this."""
        self.registry.uninstall()
        self.registry = Registry([self.target(*parts, **told)])
        return self.registry

    def workloads(self) -> Sequence[Workload]:
        frames = self.load()
        data = frames.Frame(bytes(125)).serialize(b"abcd")
        return [
            Workload(name="parse", size=125, run=lambda: frames.Frame.parse(data), frames=1),
            Workload(name="mask", size=16, run=lambda: frames.mask(bytes(16), b"abcd"), frames=4),
        ]

    # --- seen ----------------------------------------------------------------------------------

    @property
    def replaced(self) -> set[str]:
        """The slots that hold ours, looked up in the modules that are imported."""
        found = set()
        for slot in (MASK, SERIALIZE, PARSE, CHECK, SHOUT):
            name, _, path = slot.partition(":")
            owner: Any = sys.modules.get(f"{self.package}.{name}")
            *classes, attribute = path.split(".")
            for each in classes:
                owner = owner and vars(owner).get(each)
            if owner is not None and is_fast(vars(owner).get(attribute)):
                found.add(slot)
        return found

    @property
    def report(self) -> Any:
        return self.registry.status(self.library)[0]


@contextlib.contextmanager
def fake_library(
    directory: Path, monkeypatch: pytest.MonkeyPatch, name: str = "fake-ws"
) -> Iterator[Fake]:
    """A library that can be imported inside of the block; afterwards no trace of it is left."""
    for variable in ("WSFAST_SPEEDUPS", "WSFAST_SPEEDUPS_UNTESTED"):
        monkeypatch.delenv(variable, raising=False)
    directory.mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(str(directory))
    fake = Fake(directory, name, name.replace("-", ""))
    fake.write()
    finders = list(sys.meta_path)
    try:
        yield fake
    finally:
        fake.registry.uninstall()
        fake.forget()
        assert sys.meta_path == finders
