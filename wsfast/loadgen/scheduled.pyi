from typing import final

from wsfast.loadgen.engine import Engine
from wsfast.loadgen.outbox import Departing
from wsfast.loadgen.histogram import Histogram
from wsfast.loadgen.pacer import Pacer

__all__ = ["EnginePacer", "ScheduledConnection", "ScheduledEngine"]

class ScheduledConnection(Departing): ...

@final
class EnginePacer(Pacer): ...

class ScheduledEngine(Engine):
    @property
    def lag(self) -> Histogram: ...
