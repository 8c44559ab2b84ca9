from typing import final

from wsfast.loadgen.engine import Engine, LoadConnection
from wsfast.loadgen.histogram import Histogram
from wsfast.loadgen.pacer import Pacer
from wsfast.loadgen.plan import Plan
from wsfast.loop import Loop

__all__ = ["EchoConnection", "EchoEngine", "EchoPacer"]

@final
class EchoConnection(LoadConnection): ...

@final
class EchoPacer(Pacer): ...

@final
class EchoEngine(Engine):
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
    def lag(self) -> Histogram: ...
    @property
    def censored_ns(self) -> int: ...
