"""Builds a Cython module against wsfast's .pxd files, for what only C can see or time."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

import wsfast

__all__ = ["load"]

#: Of the wsfast that is imported: make asan puts another one in front.
PACKAGE = Path(wsfast.__file__).parent
TARGET = PACKAGE.parent / "build" / "foreign"

#: Run with the source and the build's directory as its arguments.
RECIPE = """
import sys
from pathlib import Path
from Cython.Build import cythonize
from setuptools import Extension, setup
source, target = map(Path, sys.argv[1:])
flags = ["/O2"] if sys.platform == "win32" else ["-O3"]
module = Extension(source.stem, [str(source)], extra_compile_args=flags)
setup(
    script_args=["-q", "build_ext", "--build-lib", str(target), "--build-temp", str(target)],
    ext_modules=cythonize([module], build_dir=str(target), quiet=True),
)
"""


def load(source: Path) -> ModuleType:
    """Compile a .pyx, unless its build is newer than all that it may depend on, and import it.

    Args:
        source: the file; it cimports from wsfast what it likes.

    Raises:
        subprocess.CalledProcessError: it did not compile; the compiler has said why.
    """
    built = TARGET / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    newest = max(path.stat().st_mtime for path in [source, *PACKAGE.rglob("*.pxd")])
    if not built.exists() or built.stat().st_mtime < newest:
        paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
        TARGET.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TARGET) as directory:  # others may be at it, too
            subprocess.run(
                [sys.executable, "-c", RECIPE, source.name, directory],
                cwd=source.parent,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                check=True,
                timeout=300,
            )
            Path(directory, built.name).replace(built)
    spec = importlib.util.spec_from_file_location(source.stem, built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
