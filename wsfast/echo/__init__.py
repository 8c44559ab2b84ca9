"""wsfast-echo: the high-connection echo server."""

from __future__ import annotations

__all__ = []
