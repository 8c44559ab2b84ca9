"""What we publish: the sdist builds by itself, the wheel holds what it should, others build on it.

The distributions of WSFAST_DIST are tested (make wheel); without it they are built once, here.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wsfast"
FOREIGN = ROOT / "tests" / "cimport"

#: pip's words when there is no network and the cache does not hold what it needs, or when what
#: there is of it gives up in the middle.
OFFLINE = (
    *("No matching distribution found", "Could not find a version", "Connection error"),
    *("Max retries exceeded with url", "Read timed out", "ProtocolError: ('Connection broken"),
)

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys, wsfast
names = [each.name for each in pkgutil.walk_packages(wsfast.__path__, "wsfast.")]
names = [name for name in names if not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
assert pathlib.Path(sys.prefix) in pathlib.Path(wsfast.__file__).parents, wsfast.__file__
print(*names)
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run outside of the checkout; skip where pip reaches no registry, fail with the output."""
    faulthandler.cancel_dump_traceback_later()  # building takes minutes; it has a limit below
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
    )
    if done.returncode != 0 and any(words in done.stdout for words in OFFLINE):
        pytest.skip(f"no package registry within reach: {done.stdout.strip()[-300:]}")
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one sdist and one wheel for this interpreter."""
    given = os.environ.get("WSFAST_DIST")
    if given:
        return ROOT / given
    pytest.importorskip("build", reason="build is not installed")
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    path = tmp_path_factory.mktemp("dist")
    run("bash", ROOT / "wheels" / "build.sh", sys.executable, cwd=ROOT, DIST=str(path))
    return path


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    (found,) = dist.glob(f"wsfast-*-{tag}-*.whl")
    return found


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    (found,) = dist.glob("wsfast-*.tar.gz")
    return found


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that has the wheel, its extras, and Cython."""
    home = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", home, cwd=home)
    python = home / "bin" / "python"
    pip = (python, "-m", "pip", "install", "-q")
    run(*pip, f"wsfast[bench] @ {wheel.as_uri()}", "Cython>=3.1", "setuptools>=77", cwd=home)
    return python


#: What the package holds besides Cython's sources.
SHIPPED = ("*.py", "*.pxd", "*.pyi", "*.json", "py.typed")


def sources(*patterns: str) -> set[str]:
    """Files of the package in the checkout, by their path from its top."""
    found = [path for pattern in patterns for path in PACKAGE.rglob(pattern)]
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_wheel_holds_exactly_what_a_user_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    binaries = {name for name in names if name.endswith((".so", ".pyd"))}
    assert names - binaries == sources(*SHIPPED)
    modules = {name.split(".")[0] for name in binaries}
    assert modules == {name.removesuffix(".pyx") for name in sources("*.pyx")}


def test_wheel_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = archive.read(path).decode()
        names = archive.namelist()
    assert "\nLicense-Expression: MIT\n" in metadata
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    unconditional = [
        line
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist") and ";" not in line
    ]
    assert unconditional == ["Requires-Dist: httptools>=0.6.4"]


def test_wheel_binaries_carry_no_path_of_the_build(wheel: Path) -> None:
    here = str(ROOT).encode()
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert here not in archive.read(name), name


def test_sdist_holds_every_source_and_nothing_built(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = sources(*SHIPPED, "*.pyx")
    wanted |= {f"src_c/{path.name}" for path in (ROOT / "src_c").glob("*.[ch]")}
    wanted |= {"setup.py", "pyproject.toml", "LICENSE", "Makefile", "tests/conftest.py"}
    assert wanted <= names, sorted(wanted - names)
    built = {name for name in names if name.endswith((".so", ".pyc", ".o", ".html", ".whl"))}
    built |= {
        name for name in names if name.endswith(".c") and name.startswith(("build", "wsfast"))
    }
    assert not built


def test_every_module_imports_from_the_wheel(python: Path, tmp_path: Path) -> None:
    imported = run(python, "-c", IMPORT_ALL, cwd=tmp_path).split()
    # autoload/ is a directory for PYTHONPATH, not a package
    inside = {name for name in sources("*.py", "*.pyx") if "/autoload/" not in name}
    wanted = {name.replace("/", ".").rsplit(".", 1)[0] for name in inside}
    wanted = {name.removesuffix(".__init__") for name in wanted} - {"wsfast"}
    assert set(imported) == {name for name in wanted if not name.endswith("__main__")}


@pytest.mark.parametrize("program", ["wsfast-echo", "wsfast-serve", "wsfast-bench"])
def test_programs_start_from_the_wheel(python: Path, tmp_path: Path, program: str) -> None:
    assert "usage: " in run(python.parent / program, "--help", cwd=tmp_path).lower()


def test_foreign_module_builds_against_the_wheel_and_runs(python: Path, tmp_path: Path) -> None:
    for source in ("foreign.pyx", "setup.py", "check_foreign.py"):
        shutil.copy(FOREIGN / source, tmp_path)
    run(python, "setup.py", "-q", "build_ext", "--inplace", cwd=tmp_path)
    said = run(python, "check_foreign.py", cwd=tmp_path)
    assert said.startswith("foreign module agrees with wsfast ")
