from typing import final

from wsfast.limits import Limits

__all__ = ["Timetable"]

@final
class Timetable:
    def __init__(self, limits: Limits) -> None: ...
