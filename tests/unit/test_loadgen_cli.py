"""wsfast.loadgen.cli: without an extra it says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wsfast.rfc6455

#: Where the build under test lies: under make asan not the checkout.
ROOT = Path(wsfast.rfc6455.__file__).resolve().parents[1]
EXTRAS = ["click", "hdrh", "numpy", "rich"]


#: Makes the imports of some modules fail as if they were not installed.
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run_without(names, code):
    """Run code in a process of its own in which these modules cannot be imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(names=names) + code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )


MAIN = "import wsfast.loadgen.cli as cli; cli.main()"


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_extra_is_named(name):
    for package in EXTRAS:
        pytest.importorskip(package)
    done = run_without([name], MAIN)
    assert done.returncode == 1
    assert name in done.stderr
    assert "pip install 'wsfast[bench]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_missing_module_is_an_error_of_ours():
    for package in EXTRAS:
        pytest.importorskip(package)
    done = run_without(["wsfast.url"], MAIN)
    assert "ModuleNotFoundError" in done.stderr


def test_importing_the_entry_needs_no_extra():
    done = run_without(EXTRAS, "import wsfast.loadgen.cli")
    assert (done.returncode, done.stderr) == (0, "")
