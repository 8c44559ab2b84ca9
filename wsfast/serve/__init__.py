"""wsfast-serve: an application, served from the command line."""

from __future__ import annotations

__all__ = []
