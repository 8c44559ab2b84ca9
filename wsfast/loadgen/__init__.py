"""wsfast-bench: the load generator. Closed-loop echo over tens of thousands of connections."""

from __future__ import annotations

__all__ = []
