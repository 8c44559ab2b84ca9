"""The canary: what it finds in libraries that moved, and in the ones that are installed here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from beside import beside
from wsfast.speedups.library import Library
from wsfast.speedups.registry import LIBRARIES
from wsfast.speedups.target import Part, Slot, Target

HERE = Path(__file__).resolve().parent

SOURCE = "def mask(data, key):\n    return data + key\n"


@pytest.fixture
def canary() -> Iterator[ModuleType]:
    with beside(HERE, "canary") as module:
        yield module


@pytest.fixture
def probe(canary: ModuleType) -> Any:
    return importlib.import_module("probe")


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a library of one module: `release(version, source)`."""

    def install(version: str, source: str = SOURCE) -> None:
        (tmp_path / "moving.py").write_text(source)
        metadata = tmp_path / f"moving-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: moving\nVersion: {version}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("moving", None)


def agree(originals: Any, level: Any, random: Any) -> None:
    """A self-test that finds nothing."""


def library(*slots: Slot, trigger: str = "moving", **fields: Any) -> Library:
    """A target of one part, tested with 1.x."""
    part = Part(**{"trigger": trigger, "slots": lambda: slots, "selftest": agree, **fields})
    return Library(Target("moving", "moving", ("1.0", "2"), (part,), tuple))


def slot(where: str = "moving:mask", **fields: Any) -> Slot:
    """A slot whose replacement is another function of the same kind."""
    return Slot(where, lambda original: lambda *words: original(*words), **fields)


def test_nothing_moved(probe: Any, release: Callable[..., None]) -> None:
    release("1.5")
    one = library(slot(parameters=("data", "key")))
    finding = probe.probe(one)
    one.release()
    assert finding == probe.Finding(
        "moving", "1.5", "1.0 <= version < 2", False, "active", "kernels", []
    )


def test_what_is_not_installed_is_told(probe: Any) -> None:
    finding = probe.probe(library(slot()))
    assert (finding.version, finding.state, finding.moved) == ("", "not-installed", [])


def test_an_untested_version_is_looked_at_all_the_same(
    probe: Any, release: Callable[..., None]
) -> None:
    release("2.0")
    one = library(slot())
    finding = probe.probe(one)
    one.release()
    assert (finding.untested, finding.state, finding.moved) == (True, "active", [])


def test_everything_that_moved_is_named(probe: Any, release: Callable[..., None]) -> None:
    release("1.9")
    slots = [
        slot("moving:mask", parameters=("key", "data"), fingerprints=frozenset({"0" * 12})),
        slot("moving:unmask"),
        slot("moving:Frame.parse", level="frames"),
        slot("moving:sometimes", optional=True),
    ]
    finding = probe.probe(library(*slots))
    assert finding.state == "refused"
    assert finding.moved[0] == (
        "moving:mask: its parameters are (data, key), tested with (key, data)"
    )
    assert finding.moved[1].startswith("moving:mask: its source (fingerprint ")
    assert finding.moved[2:] == ["moving:unmask is gone", "moving:Frame.parse: Frame is gone"]


def test_a_trigger_that_is_gone_is_named(probe: Any, release: Callable[..., None]) -> None:
    release("1.9")
    finding = probe.probe(library(slot(), trigger="moving.frames"))
    (moved,) = finding.moved
    assert moved.startswith("moving.frames: ModuleNotFoundError: ")


def test_slots_that_cannot_be_listed_are_named(probe: Any, release: Callable[..., None]) -> None:
    release("1.9")

    def slots() -> tuple[Slot, ...]:
        raise AttributeError("no such thing")

    finding = probe.probe(library(slots=slots))
    assert finding.moved == ["moving: AttributeError: no such thing"]


def test_a_self_test_that_does_not_agree_is_named(
    probe: Any, release: Callable[..., None]
) -> None:
    release("1.9")
    calls: list[int] = []

    def selftest(originals: Any, level: Any, random: Any) -> None:
        calls.append(1)
        if len(calls) > fine:
            raise ValueError("3 is not 4")

    fine = 0
    refused = probe.probe(library(slot(), selftest=selftest))
    assert (refused.state, refused.moved) == ("refused", ["ValueError: 3 is not 4"])
    fine = len(calls) + 5
    later = library(slot(), selftest=selftest)
    finding = probe.probe(later)
    later.release()
    assert finding.state == "active"
    assert finding.moved == ["self-test 4: ValueError: 3 is not 4"]


def test_a_build_that_cannot_gain_has_not_moved(probe: Any, release: Callable[..., None]) -> None:
    release("1.9")
    one = library(slot("moving:gone"), unpatchable=lambda: "compiled; nothing to gain")
    finding = probe.probe(one)
    assert (finding.state, finding.moved) == ("skipped", [])
    assert finding.note == "compiled; nothing to gain"


def test_lines_name_what_moved(canary: ModuleType, probe: Any) -> None:
    finding = probe.Finding("lib", "2.0", "1.0 <= version < 2", True, "refused", "", ["a is gone"])
    head, untested, moved = canary.told(vars(finding))
    assert head.split() == "lib 2.0 1.0 <= version < 2 refused".split()
    assert untested == "    MOVED: 2.0 is not in the tested range"
    assert moved == "    MOVED: a is gone"


def test_a_probe_that_dies_is_a_finding(canary: ModuleType) -> None:
    finding = canary.probed("no-such-library")
    (moved,) = finding["moved"]
    assert moved.startswith("the probe ends with 1: ")
    assert canary.told(finding)


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        ({}, 0),
        ({"moved": ["a is gone"]}, 1),
        ({"untested": True}, 1),
        ({"version": ""}, 1),
    ],
    ids=["as it was", "moved", "untested", "not installed"],
)
def test_the_program_fails_on_what_moved(
    canary: ModuleType,
    probe: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    finding: dict[str, Any],
    status: int,
) -> None:
    found = {**vars(probe.Finding("lib", "1.0")), **finding}
    venvs: list[list[str]] = []
    monkeypatch.setattr(canary, "make_venv", lambda _, names, *rest, **__: venvs.append(names))
    monkeypatch.setattr(canary, "supported", lambda _: ["lib"])
    monkeypatch.setattr(canary, "probed", lambda *_: found)
    assert canary.main(["--wheel", "wheel"]) == status
    assert venvs == [["six"], ["six", "lib"]]
    said = "1 moved: lib" if status else "0 moved"
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_the_supported_libraries_are_asked_for(canary: ModuleType) -> None:
    assert canary.supported(Path(sys.executable)) == list(LIBRARIES)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_nothing_moved_in_what_is_installed(canary: ModuleType, name: str) -> None:
    """The newest releases, where `make` set this environment up; `canary.py` gets them anew."""
    finding = canary.probed(name)
    if not finding["version"] and not finding["moved"]:
        pytest.skip(f"{name} is not installed")
    assert not finding["moved"], "\n".join(canary.told(finding))
