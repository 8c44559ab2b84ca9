"""python -m wsfast.loadgen: the same as wsfast-bench."""

from __future__ import annotations

from wsfast.loadgen.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
