"""What is not as it was tested: a library steps back, refuses, rolls back, and says so."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_library import CHECK, MASK, PARSE, SERIALIZE, SHOUT, Fake, fake_library
from wsfast.speedups.guard import fingerprint
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


# --- step back, refuse, roll back ------------------------------------------------------------


def test_an_unknown_source_at_frames_steps_back_to_kernels(
    fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake.load()
    slots = fake.slots()
    slots[1] = slots[1]._replace(fingerprints=frozenset({"0" * 12}))
    library = Library(fake.target(fake.part(slots=lambda: slots)))
    library.ask(Wish())
    assert fake.replaced == {MASK}
    report = library.report()
    assert (report.state, report.level, report.slots) == ("active", "kernels", (fake.where(MASK),))
    assert "frames:Frame.serialize: its source (fingerprint" in report.note
    assert len(told(caplog)) == 1 and "was not tested" in told(caplog)[0]
    assert library.refusals == [report.note]
    library.ask(Wish())
    assert library.report() == report
    with pytest.raises(SpeedupsError, match="fake-ws: .*was not tested"):
        library.ask(Wish(strict=True))
    library.release()
    assert not fake.replaced


def test_a_known_source_passes(fake: Fake) -> None:
    original = fake.load().Frame.serialize
    slots = fake.slots()
    slots[1] = slots[1]._replace(fingerprints=frozenset({fingerprint(original)}))
    library = Library(fake.target(fake.part(slots=lambda: slots)))
    library.ask(Wish(strict=True))
    assert fake.replaced == ALL
    library.release()


def test_other_parameters_at_kernels_refuse_the_part(
    fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake.load()
    slots = fake.slots()
    slots[0] = slots[0]._replace(parameters=("data", "mask"))
    library = Library(fake.target(fake.part(slots=lambda: slots)))
    library.ask(Wish())
    assert not fake.replaced
    report = library.report()
    assert (report.state, report.level, report.slots) == ("refused", "", ())
    assert report.note.count("its parameters are (data, key), tested with (data, mask)") == 1
    assert "Refused" not in report.note


def test_a_part_that_is_refused_leaves_the_others(fake: Fake) -> None:
    fake.load()
    fake.load("legacy")
    fake.wrong = {"kernels", "frames"}
    library = Library(fake.target())
    library.ask(Wish())
    assert fake.replaced == {SHOUT}
    report = library.report()
    assert report.state == "active" and "ValueError: wrong at frames" in report.note
    library.release()


@pytest.mark.parametrize("wrong", ["frames", "kernels frames"])
def test_a_selftest_that_disagrees_rolls_everything_back(fake: Fake, wrong: str) -> None:
    frames = fake.load()
    before = frames.mask, dict(vars(frames.Frame))
    fake.wrong = set(wrong.split())
    library = Library(fake.target())
    library.ask(Wish())
    assert fake.selftests == ["frames", "kernels"]
    assert fake.replaced == ({MASK} if wrong == "frames" else set())
    assert dict(vars(frames.Frame)) == before[1]
    assert "ValueError: wrong at frames" in library.report().note
    library.release()
    assert frames.mask is before[0]


def test_a_maker_that_fails_rolls_back_what_was_filled(fake: Fake) -> None:
    def broken(original: Any) -> Any:
        raise ImportError("no native core")

    frames = fake.load()
    original = frames.mask
    slots = [fake.slot(MASK), fake.slot(CHECK, broken)]
    library = Library(fake.target(fake.part(slots=lambda: slots)))
    library.ask(Wish())
    assert frames.mask is original
    assert library.report().state == "refused"
    assert library.report().note == "ImportError: no native core"


def test_an_interrupt_rolls_back_and_comes_through(fake: Fake) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    fake.load()
    library = Library(fake.target(fake.part(selftest=interrupted)))
    with pytest.raises(KeyboardInterrupt):
        library.ask(Wish())
    assert not fake.replaced
    library.release()


def failing(*arguments: Any) -> Any:
    raise ZeroDivisionError("ours")


@pytest.mark.parametrize("name", ["slots", "unpatchable", "selftest"])
def test_no_error_of_ours_gets_out(fake: Fake, name: str) -> None:
    fake.load()
    library = Library(fake.target(fake.part(**{name: failing})))
    library.ask(Wish())
    library.imported("fakews.frames")
    assert library.report().state == "refused"
    assert library.report().note == "ZeroDivisionError: ours"
    assert not fake.replaced
    with pytest.raises(SpeedupsError, match="fake-ws: ZeroDivisionError: ours"):
        library.ask(Wish(strict=True))


# --- versions --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_an_untested_version_is_skipped(
    fake: Fake, library: Library, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.write(version)
    library.ask(Wish())
    assert library.report().state == "pending"
    assert f"untested version {version}" in library.report().note
    fake.load()
    library.imported("fakews.frames")
    assert not fake.replaced
    report = library.report()
    assert (report.version, report.state) == (version, "skipped")
    assert report.note == f"untested version {version} (tested: 1.0 <= version < 2)"
    assert len(told(caplog)) == 1 and f"untested version {version}" in told(caplog)[0]
    with pytest.raises(SpeedupsError, match="untested version"):
        library.ask(Wish(strict=True))
    library.ask(Wish(strict=True, allow_untested=True))
    assert fake.replaced == ALL


def test_an_untested_version_that_is_allowed_is_still_judged(fake: Fake) -> None:
    fake.write("3.0")
    fake.load()
    fake.wrong = {"frames", "kernels"}
    library = Library(fake.target())
    library.ask(Wish(allow_untested=True))
    assert not fake.replaced
    assert library.report().state == "refused"


def test_a_library_without_metadata_is_skipped(fake: Fake, library: Library) -> None:
    (info,) = fake.directory.glob("*.dist-info")
    (info / "METADATA").unlink()
    info.rename(info.with_suffix(".away"))
    importlib.invalidate_caches()
    fake.load()
    library.ask(Wish(allow_untested=True))
    assert not fake.replaced
    assert library.report().state == "not-installed"
    assert "no metadata" in library.report().note


def test_an_installation_that_cannot_gain_is_no_warning(
    fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wsfast.speedups")
    fake.load()
    library = Library(fake.target(fake.part(unpatchable=lambda: "it is in C already")))
    library.ask(Wish())
    assert library.report().state == "skipped"
    assert library.report().note == "it is in C already"
    assert not told(caplog)
    assert "it is in C already" in told(caplog, logging.INFO)[0]
    with pytest.raises(SpeedupsError, match="it is in C already"):
        library.ask(Wish(strict=True))


def test_strictly_an_absent_library_is_an_error(fake: Fake) -> None:
    library = Library(fake.target()._replace(library="no-such-library"))
    library.ask(Wish())
    assert library.report().state == "not-installed"
    with pytest.raises(SpeedupsError, match="no-such-library is not installed"):
        library.ask(Wish(strict=True))
