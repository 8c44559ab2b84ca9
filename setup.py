"""Builds the extension modules; everything else stands in pyproject.toml."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

# Modules over a C kernel of their name. Every other module reaches them by cimport.
KERNELS = {"wsfast.cpu", "wsfast.mask", "wsfast.utf8"}
# The engine and the speedups build everywhere; everything else is over sockets, epoll, timerfd.
ENGINE = {"cpu", "mask", "utf8", "frame", "scan", "buffer", "receiver", "connection"}
WINDOWS = sys.platform == "win32"
COMPILE = ["/O2"] if WINDOWS else ["-O3", "-g0", "-std=c11", "-fvisibility=hidden"]
LINK = []
if os.environ.get("WSFAST_SANITIZE"):
    LINK += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    COMPILE += [*LINK, "-fno-omit-frame-pointer", "-g", "-O1"]


def extensions():
    if os.environ.get("WSFAST_BUILD_LATER"):  # make installs first, and builds in place then
        return
    for path in sorted(Path("wsfast").rglob("*.pyx")):
        name = ".".join(path.with_suffix("").parts)
        if WINDOWS and path.stem not in ENGINE and path.parent.name != "speedups":
            continue
        yield Extension(
            name,
            [str(path), *([f"src_c/{path.stem}.c"] if name in KERNELS else [])],
            include_dirs=["src_c"],
            depends=["setup.py", *map(str, Path("src_c").glob("*.h"))],
            extra_compile_args=COMPILE,
            extra_link_args=LINK,
        )


# By fork: where processes are spawned each of them would run this file again.
FORKS = sys.platform == "linux" and sys.version_info < (3, 14)
# In a checkout only: what a later Cython warns about must not stop somebody's install.
Options.warning_errors = Path(".git").exists()
setup(
    ext_modules=cythonize(
        list(extensions()),
        nthreads=os.cpu_count() if FORKS else 0,
        build_dir="build/cython",  # generated C stays out of the tree and out of the wheel
        annotate="WSFAST_ANNOTATE" in os.environ,
        force="WSFAST_ANNOTATE" in os.environ,
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
