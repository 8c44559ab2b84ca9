"""All libraries together: install and uninstall, imports, strictness, blocks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fake_library import CHECK, MASK, PARSE, SERIALIZE, SHOUT, Fake, fake_library
from wsfast.speedups.library import SpeedupsError, Wish
from wsfast.speedups.registry import LIBRARIES, Registry

ALL = {MASK, SERIALIZE, PARSE, CHECK}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "other", monkeypatch, "other-ws") as made:
        yield made


@pytest.fixture
def both(fake: Fake, other: Fake) -> Iterator[Registry]:
    """A registry that knows two libraries."""
    made = Registry([fake.target(), other.target()])
    yield made
    made.uninstall()


# --- install and uninstall -------------------------------------------------------------------


def test_what_is_imported_before_and_after_is_replaced(fake: Fake) -> None:
    fake.load()
    fake.registry.install()
    assert fake.replaced == ALL
    fake.load("legacy")
    assert fake.replaced == ALL | {SHOUT}
    fake.registry.uninstall()
    assert not fake.replaced


def test_an_importer_sees_ours_from_the_start(fake: Fake) -> None:
    fake.registry.install()
    copies = fake.load("copies")
    assert copies.mask is fake.load().mask is copies.copied["mask"]
    assert hasattr(copies.mask, "__wsfast__")


def test_installing_imports_nothing_of_the_library(fake: Fake) -> None:
    fake.registry.install()
    fake.registry.install("fake-ws", strict=True)
    assert fake.report.state == "pending"
    assert not fake.loaded()


def test_names_choose(both: Registry, fake: Fake, other: Fake) -> None:
    fake.load()
    other.load()
    both.install("other-ws")
    assert (fake.replaced, other.replaced) == (set(), ALL)
    both.install("Fake_WS")
    assert (fake.replaced, other.replaced) == (ALL, ALL)
    both.uninstall("other-ws")
    assert (fake.replaced, other.replaced) == (ALL, set())


def test_levels_can_differ(both: Registry, fake: Fake, other: Fake) -> None:
    both.install("fake-ws", level="kernels")
    both.install("other-ws", level="frames")
    fake.load()
    other.load()
    assert (fake.replaced, other.replaced) == ({MASK}, ALL)
    both.install(level="kernels")
    assert (fake.replaced, other.replaced) == ({MASK}, {MASK})


def test_what_is_not_taken_by_default_is_taken_by_name(fake: Fake) -> None:
    registry = fake.tell(by_default=False)
    fake.load()
    registry.install()
    assert not fake.replaced
    registry.install("fake-ws")
    assert fake.replaced == ALL


def test_wrong_words_are_errors_and_change_nothing(fake: Fake) -> None:
    fake.load()
    with pytest.raises(ValueError, match="'bogus' is no library that wsfast speeds up: fake-ws"):
        fake.registry.install("fake-ws", "bogus")
    with pytest.raises(ValueError, match="level is 'kernels' or 'frames', not 'mask'"):
        fake.registry.install(level="mask")  # type: ignore[arg-type]
    for call in (fake.registry.uninstall, fake.registry.status, fake.registry.library):
        with pytest.raises(ValueError, match="'bogus' is no library"):
            call("bogus")
    with pytest.raises(ValueError, match="'bogus' is no library"):
        with fake.registry.installed("bogus"):
            pytest.fail("went in")
    assert not fake.replaced
    assert fake.report.state == "inactive"


def test_uninstall_without_an_install_is_nothing(fake: Fake) -> None:
    finders = list(sys.meta_path)
    fake.registry.uninstall()
    fake.registry.uninstall("fake-ws")
    assert sys.meta_path == finders


def test_the_hook_is_there_as_long_as_it_is_needed(both: Registry) -> None:
    finders = list(sys.meta_path)
    both.install()
    assert len(sys.meta_path) == len(finders) + 1
    both.uninstall("fake-ws")
    assert len(sys.meta_path) == len(finders) + 1
    both.uninstall()
    assert sys.meta_path == finders


def test_what_is_uninstalled_is_not_waited_for(fake: Fake) -> None:
    fake.registry.install()
    fake.registry.uninstall()
    fake.load()
    assert not fake.replaced


# --- imports ---------------------------------------------------------------------------------


def test_a_reload_of_a_trigger_is_replaced_again(fake: Fake) -> None:
    fake.registry.install()
    frames = fake.load()
    for _ in range(3):
        importlib.reload(frames)
        assert fake.replaced == ALL
    fake.registry.uninstall()
    assert not fake.replaced
    assert "replaced" not in frames.mask.__code__.co_name


@pytest.mark.parametrize("first", ["frames", "circle"])
def test_circular_imports(fake: Fake, first: str) -> None:
    fake.write_module("frames.py", "from . import circle\ndef mask(data, key):\n    return data\n")
    fake.write_module("circle.py", "from . import frames\nseen = hasattr(frames, 'mask')\n")
    part = fake.part(slots=lambda: [fake.slot(MASK)])
    fake.tell(part).install(strict=True)
    fake.load(first)
    assert fake.load("circle").seen is (first == "circle")
    assert hasattr(fake.load().mask, "__wsfast__")


def test_an_import_that_fails_leaves_the_hook_usable(fake: Fake) -> None:
    fake.registry.install("fake-ws", strict=True)
    fake.write_module("frames.py", "import no_such_module_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        fake.load()
    assert fake.report.state == "pending"
    fake.write()
    fake.load()
    assert fake.replaced == ALL


def test_installing_while_the_trigger_is_imported_in_this_thread(fake: Fake) -> None:
    """It is under way further up: replaced as soon as anything of ours hears or is asked."""
    made: Any = ModuleType("fake_installer")
    made.install = fake.registry.install
    fake.write_module("frames.py", "import fake_installer\nfake_installer.install()\n" + SOURCE)
    fake.tell(fake.part(slots=lambda: [fake.slot(MASK)]), fake.legacy_part())
    made.install = fake.registry.install
    sys.modules["fake_installer"] = made
    try:
        fake.load()
        fake.load("legacy")
    finally:
        del sys.modules["fake_installer"]
    assert fake.replaced == {MASK, SHOUT}


SOURCE = (
    "def mask(data, key):\n    return data[:0] + bytes(a ^ b for a, b in zip(data, key * 9))\n"
)


def test_an_error_of_ours_never_breaks_an_import(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("ours")

    fake.registry.install()
    monkeypatch.setattr("wsfast.speedups.library.version_of", broken)
    assert fake.load().mask(b"a", bytes(4)) == b"a"
    monkeypatch.undo()
    assert "RuntimeError: ours" in caplog.text
    assert not fake.replaced


# --- strict ----------------------------------------------------------------------------------


def test_strict_raises_at_the_call_and_changes_nothing(fake: Fake) -> None:
    fake.wrong = {"frames"}
    fake.load()
    with pytest.raises(SpeedupsError, match="fake-ws: ValueError: wrong at frames"):
        fake.registry.install("fake-ws", strict=True)
    assert not fake.replaced
    assert fake.report.state == "inactive"
    fake.forget()
    fake.load()
    assert not fake.replaced


def test_strict_raises_at_the_import(fake: Fake) -> None:
    fake.wrong = {"frames"}
    fake.registry.install("fake-ws", strict=True)
    for _ in range(2):
        with pytest.raises(SpeedupsError, match="wrong at frames"):
            fake.load()
        assert "fakews.frames" not in sys.modules
    fake.wrong.clear()
    fake.load()
    assert fake.replaced == ALL


def test_strict_failing_restores_what_was_installed_before(fake: Fake) -> None:
    fake.load()
    fake.registry.install(level="kernels")
    fake.wrong = {"frames"}
    with pytest.raises(SpeedupsError):
        fake.registry.install("fake-ws", level="frames", strict=True)
    assert fake.replaced == {MASK}
    assert fake.registry.library("fake-ws").wish == Wish("kernels")


def test_strict_takes_back_the_libraries_before_the_one_that_failed(
    both: Registry, fake: Fake, other: Fake
) -> None:
    fake.load()
    other.load()
    other.wrong = {"kernels", "frames"}
    with pytest.raises(SpeedupsError, match="other-ws"):
        both.install("fake-ws", "other-ws", strict=True)
    assert not fake.replaced and not other.replaced


def test_strict_says_what_is_absent(fake: Fake) -> None:
    registry = Registry([fake.target()._replace(library="no-such-library")])
    with pytest.raises(SpeedupsError, match="no-such-library is not installed"):
        registry.install("no-such-library", strict=True)
    registry.install(strict=True)  # nothing is named
    registry.uninstall()


def test_strict_without_names_means_what_is_installed(fake: Fake) -> None:
    fake.wrong = {"frames"}
    fake.load()
    with pytest.raises(SpeedupsError, match="fake-ws: ValueError: wrong at frames"):
        fake.registry.install(strict=True)
    assert not fake.replaced
    assert fake.report.state == "inactive"


# --- blocks ----------------------------------------------------------------------------------


def test_a_block_restores_nothing_installed(fake: Fake) -> None:
    frames = fake.load()
    original = frames.mask
    finders = list(sys.meta_path)
    with fake.registry.installed():
        assert fake.replaced == ALL
    assert frames.mask is original
    assert sys.meta_path == finders
    assert fake.report.state == "inactive"


def test_a_block_restores_after_an_error(fake: Fake) -> None:
    fake.load()
    with pytest.raises(KeyError), fake.registry.installed():
        raise KeyError
    assert not fake.replaced


@pytest.mark.parametrize("outer", ["kernels", "frames"])
@pytest.mark.parametrize("inner", ["kernels", "frames"])
def test_a_block_restores_the_level_before(fake: Fake, outer: Any, inner: Any) -> None:
    expected = {"kernels": {MASK}, "frames": ALL}
    fake.load()
    fake.registry.install(level=outer)
    with fake.registry.installed(level=inner):
        assert fake.replaced == expected[inner]
        with fake.registry.installed(level=outer):
            assert fake.replaced == expected[outer]
        assert fake.replaced == expected[inner]
    assert fake.replaced == expected[outer]
    fake.load("legacy")
    assert fake.replaced == expected[outer] | {SHOUT}


def test_a_block_restores_what_was_waited_for(fake: Fake) -> None:
    with fake.registry.installed():
        fake.load()
        assert fake.replaced == ALL
    fake.load("legacy")
    assert not fake.replaced


def test_a_block_that_allows_untested_versions_takes_them_back(fake: Fake) -> None:
    fake.write("3.0")
    fake.load()
    fake.registry.install()
    with fake.registry.installed(allow_untested=True):
        assert fake.replaced == ALL
    assert not fake.replaced
    assert fake.report.state == "skipped"


def test_a_block_leaves_other_libraries_alone(both: Registry, fake: Fake, other: Fake) -> None:
    fake.load()
    other.load()
    with both.installed("fake-ws"):
        both.install("other-ws", level="kernels")
        assert (fake.replaced, other.replaced) == (ALL, {MASK})
    assert (fake.replaced, other.replaced) == (set(), {MASK})


def test_a_block_undoes_what_happened_to_its_libraries(fake: Fake) -> None:
    fake.load()
    with fake.registry.installed():
        fake.registry.install(level="kernels")
    assert not fake.replaced
    with fake.registry.installed():
        fake.registry.uninstall()
        assert not fake.replaced
    assert not fake.replaced


def test_blocks_that_overlap_end_in_the_state_before(fake: Fake) -> None:
    """As those of two threads do: the first one ends while the second one still runs."""
    fake.load()
    for before, level in ((None, None), ("kernels", "kernels"), ("kernels", "frames")):
        if before:
            fake.registry.install(level=before)  # type: ignore[arg-type]
        at_first = fake.replaced
        first = fake.registry.installed(level="frames")
        second = fake.registry.installed(level=level)  # type: ignore[arg-type]
        first.__enter__()
        second.__enter__()
        inside = fake.replaced
        first.__exit__(None, None, None)
        assert fake.replaced == inside != set()
        second.__exit__(None, None, None)
        assert fake.replaced == at_first


# --- the real ones ---------------------------------------------------------------------------


def test_every_library_is_told_of() -> None:
    registry = Registry()
    found = [each.library for each in registry.status()]
    assert tuple(found) == LIBRARIES
    for name in found:
        assert registry.library(name).target.library == name
