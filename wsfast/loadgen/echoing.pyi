from typing import final

from wsfast.loadgen.histogram import Histogram
from wsfast.loadgen.plan import Plan
from wsfast.loadgen.scheduled import ScheduledConnection, ScheduledEngine
from wsfast.loadgen.stagecounts import StageCounts
from wsfast.loop import Loop

__all__ = ["EchoConnection", "EchoEngine"]

@final
class EchoConnection(ScheduledConnection): ...

@final
class EchoEngine(ScheduledEngine):
    def __init__(self, loop: Loop, plan: Plan) -> None: ...
    @property
    def latency(self) -> Histogram: ...
    @property
    def actual(self) -> Histogram: ...
    @property
    def intended(self) -> Histogram: ...
    @property
    def warmup(self) -> Histogram: ...
    @property
    def censored_ns(self) -> int: ...
    @property
    def stages(self) -> StageCounts | None: ...
