"""TOML files that users write: plans and options."""

from __future__ import annotations

import sys
from typing import Any

from wsfast.loadgen.options import read_text

__all__ = ["read_toml"]


def read_toml(path: str) -> dict[str, Any]:
    """What a file holds.

    Raises:
        ValueError: it cannot be read, or is no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
