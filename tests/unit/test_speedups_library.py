"""One library: its parts are filled, judged, told of, and emptied again."""

from __future__ import annotations

import copy
import functools
import gc
import importlib
import logging
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from fake_library import CHECK, MASK, PARSE, SERIALIZE, SHOUT, Fake, fake_library
from wsfast.speedups.library import Library, SpeedupsError, Wish

ALL = {MASK, SERIALIZE, PARSE, CHECK}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


@pytest.fixture
def library(fake: Fake) -> Iterator[Library]:
    """The library by itself: no import hook, no lock."""
    made = Library(fake.target())
    yield made
    made.release()


def told(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == level]


# --- filling and emptying --------------------------------------------------------------------


def test_nothing_is_touched_before_it_is_asked(fake: Fake, library: Library) -> None:
    fake.load()
    library.imported("fakews.frames")
    assert not fake.replaced
    assert library.report().state == "inactive"


def test_asking_imports_nothing(fake: Fake, library: Library) -> None:
    library.ask(Wish())
    assert not fake.loaded()
    assert library.report().state == "pending"
    assert not fake.loaded()


def test_the_parts_that_are_imported_are_filled(fake: Fake, library: Library) -> None:
    fake.load()
    library.ask(Wish())
    assert fake.replaced == ALL
    fake.load("legacy")
    library.imported("fakews.legacy")
    assert fake.replaced == ALL | {SHOUT}


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_release_restores_the_very_objects(fake: Fake, library: Library, level: Any) -> None:
    frames = fake.load()
    before = {id(owner): dict(vars(owner)) for owner in (frames, frames.Frame)}
    library.ask(Wish(level))
    assert fake.replaced == (ALL if level == "frames" else {MASK})
    library.release()
    for owner in (frames, frames.Frame):
        now, then = vars(owner), before[id(owner)]
        assert list(now) == list(then)
        assert all(now[name] is then[name] for name in then)


def test_asking_again_changes_nothing(fake: Fake, library: Library) -> None:
    frames = fake.load()
    library.ask(Wish())
    before = frames.mask, vars(frames.Frame)["parse"], len(fake.selftests)
    library.ask(Wish())
    library.ask(Wish())
    assert (frames.mask, vars(frames.Frame)["parse"], len(fake.selftests)) == before
    library.release()
    library.release()
    assert not fake.replaced


def test_another_level_starts_from_the_originals(fake: Fake, library: Library) -> None:
    frames = fake.load()
    original = frames.mask
    for level in ("frames", "kernels", "frames"):
        library.ask(Wish(level))  # type: ignore[arg-type]
        assert fake.replaced == (ALL if level == "frames" else {MASK})
        assert library.originals[fake.where(MASK)] is original
    library.release()
    assert frames.mask is original


def test_of_two_slots_for_one_place_the_deeper_one_is_taken(fake: Fake) -> None:
    def deeper(original: Any) -> Any:
        return functools.wraps(original)(lambda *arguments: original(*arguments))

    frames = fake.load()
    slots = [fake.slot(MASK), fake.slot(MASK, deeper, level="frames")]
    for level, ours in (("kernels", True), ("frames", False)):
        library = Library(fake.target(fake.part(slots=lambda: slots)))
        library.ask(Wish(level))  # type: ignore[arg-type]
        assert hasattr(frames.mask, "__wsfast__") is ours
        assert len(library.report().slots) == 1
        library.release()


def test_an_optional_slot_may_be_missing(fake: Fake) -> None:
    fake.load()
    slots = [fake.slot("frames:gone", optional=True), fake.slot("nowhere:f", optional=True)]
    library = Library(fake.target(fake.part(slots=lambda: [*slots, fake.slot(MASK)])))
    library.ask(Wish(strict=True))
    assert library.report().slots == (fake.where(MASK),)
    library.release()


def test_a_part_with_nothing_at_this_level_is_skipped_without_a_selftest(fake: Fake) -> None:
    fake.load()
    frames_only = [each for each in fake.slots() if each.level == "frames"]
    library = Library(fake.target(fake.part(slots=lambda: frames_only)))
    library.ask(Wish("kernels", strict=True))
    report = library.report()
    assert (report.state, report.note) == ("skipped", "nothing to replace at level kernels")
    assert not fake.selftests


def test_copies_that_have_a_slot_are_replaced_and_others_are_told(fake: Fake) -> None:
    copies = fake.load("copies")
    original = copies.mask
    slots = [*fake.slots(), fake.slot("copies:mask")]
    library = Library(fake.target(fake.part(slots=lambda: slots)))
    module: Any = ModuleType("somebody_else")
    module.their_copy = original
    sys.modules["somebody_else"] = module
    try:
        library.ask(Wish())
        assert library.report().stale == ("somebody_else.their_copy",)
        assert copies.mask is not original
        library.release()
    finally:
        del sys.modules["somebody_else"]
    assert copies.mask is original
    assert library.report().stale == ()


def test_a_report_while_a_garbage_collection_lets_others_import(
    fake: Fake, library: Library
) -> None:
    """Before 3.12 it may run wherever a tuple is made, and with it a finalizer, and a thread."""
    there = [sys.modules, vars(fake.load())]

    def import_or_forget(phase: str, info: dict[str, int]) -> None:
        for each in there if phase == "start" else ():
            each.pop("meanwhile") if "meanwhile" in each else each.update(meanwhile=None)

    library.ask(Wish())
    threshold = gc.get_threshold()
    gc.callbacks.append(import_or_forget)
    gc.set_threshold(1)
    try:
        assert library.report().stale == ()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(import_or_forget)
        for each in there:
            each.pop("meanwhile", None)


def test_a_value_that_stands_everywhere_is_not_stale(fake: Fake) -> None:
    fake.load().Frame.limit = True
    slots = [fake.slot("frames:Frame.limit", lambda original: False)]
    library = Library(fake.target(fake.part(slots=lambda: slots, selftest=lambda *a: None)))
    library.ask(Wish())
    assert library.report().stale == ()
    library.release()
    assert fake.load().Frame.limit is True


# --- the library's classes go on working -----------------------------------------------------


def test_instances_made_before_and_after_are_of_one_class(fake: Fake, library: Library) -> None:
    frame = fake.load().Frame
    before = frame(b"a")
    library.ask(Wish())
    after = frame.parse(before.serialize(b"abcd"))
    assert after == before
    assert type(after) is type(before) is fake.load().Frame
    assert isinstance(before, fake.load().Frame)


def test_pickles_cross_the_border(fake: Fake, library: Library) -> None:
    frame = fake.load().Frame
    plain = pickle.dumps(frame(b"a"))
    library.ask(Wish())
    patched = pickle.dumps(frame(b"a"))
    assert pickle.loads(plain) == pickle.loads(patched) == copy.deepcopy(frame(b"a"))
    library.release()
    assert pickle.loads(patched) == frame(b"a")


def test_subclasses_made_before_and_after_override(fake: Fake, library: Library) -> None:
    frame = fake.load().Frame

    def subclass() -> Any:
        class Sub(frame):  # type: ignore[misc, valid-type]
            def serialize(self, key: bytes) -> bytes:
                return b"sub" + super().serialize(key)

        return Sub

    before = subclass()
    library.ask(Wish())
    for each in (before, subclass()):
        made = each.parse(b"abcd")
        assert type(made) is each
        assert made.serialize(b"abcd") == b"subabcd"
        assert each.check(b"abcd")


# --- reloads and removals --------------------------------------------------------------------


def test_a_reload_is_filled_again_and_the_old_class_restored(fake: Fake, library: Library) -> None:
    frames = fake.load()
    old = frames.Frame
    originals = dict(vars(old))
    library.ask(Wish())
    importlib.reload(frames)
    assert not fake.replaced
    library.imported("fakews.frames")
    assert fake.replaced == ALL
    assert dict(vars(old)) == originals
    new = dict(library.originals)
    library.release()
    assert frames.mask is new[fake.where(MASK)]
    assert vars(frames.Frame)["parse"] is new[fake.where(PARSE)]


def test_slots_outside_of_what_is_reloaded_are_not_filled_twice(fake: Fake) -> None:
    """The trigger runs again, the module with the slots does not."""
    frames = fake.load()
    original = frames.mask
    part = fake.part("copies", slots=lambda: [fake.slot(MASK)])
    library = Library(fake.target(part))
    fake.load("copies")
    library.ask(Wish())
    importlib.reload(fake.load("copies"))
    library.imported("fakews.copies")
    assert library.originals == {fake.where(MASK): original}
    assert frames.mask.__wrapped__ is original
    library.release()
    assert frames.mask is original


def test_a_module_that_is_imported_anew_is_filled_anew(fake: Fake, library: Library) -> None:
    old = fake.load()
    library.ask(Wish())
    fake.forget()
    new = fake.load()
    library.imported("fakews.frames")
    assert not hasattr(old.mask, "__wsfast__") and hasattr(new.mask, "__wsfast__")
    library.release()
    assert not hasattr(new.mask, "__wsfast__")


def test_what_came_past_unheard_is_caught_up_with(fake: Fake, library: Library) -> None:
    library.ask(Wish())
    fake.load()
    assert not fake.replaced
    library.imported("something.else")
    assert fake.replaced == ALL


# --- patched over ----------------------------------------------------------------------------


def test_what_somebody_patched_over_stays_and_is_told(
    fake: Fake, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    frames = fake.load()
    original = frames.mask
    library.ask(Wish())
    with mock.patch.object(frames, "mask") as patched:
        library.release()
        assert frames.mask is patched
        assert fake.replaced == set()
        assert told(caplog) == ["fakews.frames:mask was patched over, and stays"]
        report = library.report()
        assert report.state == "inactive"
        assert report.note == "fakews.frames:mask was patched over, and stays"
    assert hasattr(frames.mask, "__wsfast__")  # the mock put ours back
    library.release()
    assert frames.mask is original
    assert library.report().note == ""


def test_ours_that_comes_back_is_never_taken_for_an_original(fake: Fake, library: Library) -> None:
    frames = fake.load()
    original = frames.mask
    library.ask(Wish())
    with mock.patch.object(frames, "mask"):
        library.release()
    library.ask(Wish())
    assert frames.mask.__wrapped__ is original
    library.release()
    assert frames.mask is original


def test_a_wrapper_around_ours_is_kept_and_refused(fake: Fake, library: Library) -> None:
    frames = fake.load()
    library.ask(Wish())
    ours = frames.mask

    @functools.wraps(ours)
    def traced(*arguments: Any) -> Any:
        return ours(*arguments)

    frames.mask = traced
    library.release()
    assert frames.mask is traced
    library.ask(Wish())
    assert frames.mask is traced
    assert "fakews.frames:mask: somebody else has wrapped it" in library.report().note
    assert "patched over" in library.report().note


# --- telling ---------------------------------------------------------------------------------


def test_the_report_of_an_active_library(fake: Fake) -> None:
    fake.load()
    library = Library(fake.target(note="only sometimes"))
    library.ask(Wish())
    report = library.report()
    assert report.library == "fake-ws"
    assert (report.version, report.level, report.state) == ("1.5", "frames", "active")
    assert set(report.slots) == {fake.where(each) for each in ALL}
    assert report.note == "only sometimes"
    library.release()


def test_the_level_told_is_that_of_what_is_replaced(fake: Fake) -> None:
    fake.load()
    library = Library(fake.target(fake.part(slots=lambda: [fake.slot(MASK)])))
    library.ask(Wish("frames", strict=True))
    assert library.report().level == "kernels"
    library.release()


def test_the_selftest_can_be_repeated(fake: Fake, library: Library) -> None:
    frames = fake.load()
    fake.load("legacy")
    library.ask(Wish())
    library.selftest(random.Random(1))
    assert fake.selftests == ["frames"] * 2
    frames.mask = lambda data, key: b"wrong"
    with pytest.raises(Exception, match="mask.*the original.*wsfast.*wrong"):
        library.selftest(random.Random(1))


# --- modules for an absent library -----------------------------------------------------------


def supplied(fake: Fake, **told: Any) -> Library:
    told = {"modules": lambda: {"supplied": ModuleType("supplied")}, **told}
    target = fake.target()._replace(library="no-such-library", package="supplied", **told)
    return Library(target)


def test_an_absent_library_can_be_supplied(fake: Fake) -> None:
    library = supplied(fake)
    library.ask(Wish(strict=True))
    module = importlib.import_module("supplied")
    library.ask(Wish(strict=True))
    assert sys.modules["supplied"] is module
    assert library.report().state == "active"
    assert library.report().slots == ("supplied",)
    library.release()
    assert "supplied" not in sys.modules


def test_what_is_there_already_is_not_supplied(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ModuleType("supplied")
    monkeypatch.setitem(sys.modules, "supplied", there)
    library = supplied(fake)
    library.ask(Wish())
    assert library.report().state == "not-installed"
    assert "supplied is there" in library.report().note
    with pytest.raises(SpeedupsError, match="supplied is there"):
        library.ask(Wish(strict=True))
    library.release()
    assert sys.modules["supplied"] is there


def failing() -> Any:
    raise ZeroDivisionError("ours")


def test_modules_that_cannot_be_made_are_no_error_of_the_user(fake: Fake) -> None:
    library = supplied(fake, modules=failing)
    library.ask(Wish())
    assert library.report().note == "ZeroDivisionError: ours"
    assert "supplied" not in sys.modules
