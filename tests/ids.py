"""Names of parameters that are the same in every process: pytest-xdist compares them."""

from __future__ import annotations

import re

__all__ = ["shown"]

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def shown(value: object) -> str:
    """The repr, without addresses in memory."""
    return _ADDRESS.sub("", repr(value))
