"""make speedups-canary: the newest release of each supported library, and what moved in it.

    python tests/judge/canary.py [LIBRARY ...]

Installs them in an environment of its own, build/judge/canary, and looks at everything that
wsfast.speedups replaces: a slot that is missing, parameters that changed, a source that nobody
tested, a self-test that does not agree; and at whether the release lies in the tested range.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from venvs import BUILD, Unavailable, build_wheel, make_venv, run_tool  # noqa: E402

__all__ = ["main", "probed", "told"]

PROBE = Path(__file__).resolve().with_name("probe.py")

#: What a library needs and does not say.
UNSAID = ("six",)

SECONDS = 120


def supported(python: Path) -> list[str]:
    """The names of the libraries, asked of the wsfast of that interpreter.

    Raises:
        Unavailable: it does not say.
    """
    code = "from wsfast.speedups.registry import LIBRARIES; print(*LIBRARIES)"
    return run_tool([python, "-c", code], cwd=PROBE.parent).split()


def probed(library: str, python: Path = Path(sys.executable)) -> dict[str, Any]:
    """What `probe.py` finds, see `probe.Finding`; a child that dies is a finding too."""
    environment = {key: each for key, each in os.environ.items() if not key.startswith("WSFAST_")}
    words = [str(python), str(PROBE), library]
    done = subprocess.run(
        words,
        cwd=PROBE.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    said = f"the probe ends with {done.returncode}: {done.stderr.strip()[-300:]}"
    nothing = {"version": "", "tested": "", "untested": False, "level": "", "note": ""}
    return {**nothing, "library": library, "state": "crashed", "moved": [said]}


def told(finding: dict[str, Any]) -> list[str]:
    """Lines for people: the library, and below it by name what moved."""
    each = {key: value or "-" for key, value in finding.items()}
    head = "{library:18} {version:10} {tested:28} {state:14} {level:8} {note}".format(**each)
    lines = [head.rstrip(" -")]
    if finding["untested"]:
        lines.append(f"    MOVED: {finding['version']} is not in the tested range")
    return lines + [f"    MOVED: {what}" for what in finding["moved"]]


def main(words: Sequence[str] | None = None) -> int:
    """Returns 0 if nothing moved, 1 if something did, 2 if the libraries cannot be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("libraries", nargs="*", help="names (default: all)")
    parser.add_argument("--wheel", type=Path, help="of wsfast (default: built from this checkout)")
    options = parser.parse_args(words)
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        wheel = (options.wheel or build_wheel()).resolve()
        names = options.libraries
        python = make_venv(BUILD / "canary", [*UNSAID, *names], wheel, upgrade=True)
        if not names:
            names = supported(python)
            make_venv(BUILD / "canary", [*UNSAID, *names], wheel, upgrade=True)
    except Unavailable as reason:
        print(f"canary: {reason}", file=sys.stderr)
        return 2
    findings = [probed(each, python) for each in names]
    for each in findings:
        print("\n".join(told(each)), flush=True)
    moved = [
        each["library"]
        for each in findings
        if each["moved"] or each["untested"] or not each["version"]
    ]
    print(f"{len(moved)} moved" + (f": {', '.join(moved)}" if moved else ""))
    return 1 if moved else 0


if __name__ == "__main__":
    sys.exit(main())
