"""npm's ws package, installed once into .cache/npm of the checkout."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from system.interop.processes import HERE

__all__ = ["node_command"]

CACHE = HERE.parents[2] / ".cache" / "npm"
ENTRY = CACHE / "node_modules" / "ws" / "wrapper.mjs"


def node_command(script: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a script beside this file, with the file of ws as first argument.

    Skips the test, by name, where node, npm or the package cannot be had.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is not installed")
    if not ENTRY.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _install(npm)
    return (node, str(HERE / script), str(ENTRY), *arguments)


def _install(npm: str) -> None:
    command = [npm, "install", "ws@8", "--prefix", str(CACHE), "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("npm install ws takes too long")
    if done.returncode or not ENTRY.exists():
        pytest.skip(f"npm does not install ws: {done.stderr.strip()[-200:]}")
