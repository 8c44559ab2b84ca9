"""Where judges run: a wheel of this checkout, environments for libraries, their sources."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["BUILD", "Unavailable", "build_wheel", "make_venv", "run_tool", "unpack_sdist"]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "judge"

#: What a wheel is made of.
SOURCES = ("wsfast", "src_c", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
BUILT = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")


class Unavailable(Exception):
    """Something that a judge needs cannot be had; says what."""


def run_tool(command: Sequence[str | Path], seconds: float = 900, cwd: Path = ROOT) -> str:
    """Run a program of ours; returns what it printed.

    Raises:
        Unavailable: it fails; with the end of what it said.
    """
    words = [str(each) for each in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, cwd=cwd)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise Unavailable(f"{' '.join(words)} fails:\n" + "\n".join(said[-12:]))
    return done.stdout


def build_wheel(into: Path = BUILD) -> Path:
    """The wheel of this checkout; built from a copy, so that the checkout stays as it is.

    It is built again only when a source has changed.
    """
    wheels = into / f"wheel-{_mark_of_sources()}"
    if not list(wheels.glob("*.whl")):
        for each in into.glob("wheel-*"):
            shutil.rmtree(each)
        copy = wheels / "checkout"
        copy.mkdir(parents=True)
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=BUILT)
            else:
                shutil.copy2(ROOT / name, copy / name)
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
        run_tool([*pip, "--wheel-dir", wheels, copy])
        shutil.rmtree(copy)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def _mark_of_sources() -> str:
    mark = hashlib.sha256(sys.version.encode())
    for each in SOURCES:
        for path in sorted((ROOT / each).rglob("*")) or [ROOT / each]:
            if path.is_file() and path.suffix not in (".so", ".pyd", ".pyc"):
                mark.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return mark.hexdigest()[:12]


def make_venv(
    directory: Path, requirements: Sequence[str], wheel: Path, *, upgrade: bool = False
) -> Path:
    """An environment with these and with our wheel; only what changed is installed again.

    Args:
        upgrade: take the newest release of everything, also where one is installed already.

    Returns:
        Its interpreter.
    """
    python = directory / "bin" / "python"
    if not python.exists():
        run_tool([sys.executable, "-m", "venv", "--clear", directory])
    pip = [str(python), "-m", "pip", "install", "-q"]
    wanted = "\n".join(requirements)
    if upgrade or _changed(directory / "requirements", wanted):
        run_tool([*pip, *(["-U"] if upgrade else []), *requirements])
        (directory / "requirements").write_text(wanted, encoding="utf-8")
    mark = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if _changed(directory / "wheel", mark):
        run_tool([*pip, wheel])
        run_tool([*pip, "--force-reinstall", "--no-deps", wheel])
        (directory / "wheel").write_text(mark, encoding="utf-8")
    return python


def _changed(mark: Path, wanted: str) -> bool:
    return not mark.exists() or mark.read_text(encoding="utf-8") != wanted


def unpack_sdist(
    requirement: str, sha256: str, into: Path, amend: Callable[[Path], None] | None = None
) -> Path:
    """Download a released sdist, check it, unpack it afresh.

    Args:
        requirement: "wsproto==1.3.2".
        sha256: of the file; "" takes any.
        amend: called with the directory, to add what the sdist lacks.

    Returns:
        The directory that it unpacks to.

    Raises:
        Unavailable: it cannot be had, or is another one.
    """
    downloads = into / requirement
    if not downloads.is_dir() or not list(downloads.iterdir()):
        name = requirement.partition("==")[0]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name]
        run_tool([*pip, "--dest", downloads, requirement])
    (archive,) = downloads.iterdir()
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if sha256 and found != sha256:
        raise Unavailable(f"{archive.name} has the SHA-256 {found}, not {sha256}")
    unpacked = into / "source"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    (top,) = unpacked.iterdir()
    # Without settings of its own pytest would look further up, and find ours.
    (unpacked / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    if amend is not None:
        amend(top)
    return top
