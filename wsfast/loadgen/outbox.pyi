from wsfast.loadgen.engine import LoadConnection
from wsfast.selector import Stream

__all__ = ["Departing", "Outbox"]

class Departing(LoadConnection): ...
class Outbox(Stream): ...
