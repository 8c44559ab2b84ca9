from typing import final

from wsfast.limits import Limits

__all__ = ["RateLimits"]

@final
class RateLimits:
    def __init__(self, limits: Limits) -> None: ...
    @staticmethod
    def of(limits: Limits) -> RateLimits | None: ...
