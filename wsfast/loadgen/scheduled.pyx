# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (arrays with sizes checked by hand; one thread owns an engine)
"""What every mode shares that sends on a schedule: who sends next, and when.

Open loop: messages are due on a schedule that never moves, and go to the connections in turn,
whatever is under way there. What is due when the loop comes round to it leaves in one turn of each
connection. Closed loops use the same timer for times to think.
"""

cimport cython
from libc.stdint cimport INT64_MAX, UINT64_MAX, uint64_t

from wsfast.loadgen.engine cimport Engine, clock_ns
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.outbox cimport Departing
from wsfast.loadgen.pacer cimport Pacer
from wsfast.loadgen.schedule cimport Schedule
from wsfast.loop cimport Loop

import collections

__all__ = ["EnginePacer", "ScheduledConnection", "ScheduledEngine"]

cdef enum:
    BURST = 256                   # messages of the schedule that are sent in one turn

cdef double POLLED = 0.25         # share of the time between two messages in which a loop may poll
cdef double POLLED_NS = 250_000.0 # ... and the longest of it: most cores wake within that


cdef uint64_t polled_ns(object plan) except? 0:
    """For how long the loop polls before a message is due, so that it leaves on time."""
    cdef double most
    if plan.rate is None:
        return 0
    most = max(plan.rate, *[rate for _, rate in plan.all_stages()])
    return <uint64_t>min(POLLED_NS, POLLED * 1e9 / most if most else 0.0)


cdef class ScheduledConnection(Departing):
    """One connection of a ScheduledEngine, which makes it."""

    cdef bint has_turns(self) noexcept:
        return self.may_send()

    cdef int send_due(self, uint64_t due_ns) except -1:
        return 0

    cdef int send_now(self) except -1:
        return 0


@cython.final
cdef class EnginePacer(Pacer):
    """The timer of a ScheduledEngine, which makes it."""

    cdef int on_time(self) except -1:
        return self.engine.on_time()


cdef class ScheduledEngine(Engine):
    """The connections of one process, and the times at which they send.

    Args:
        loop: where they live.
        plan: what to do, a `wsfast.loadgen.plan.Plan`.

    Raises:
        ValueError: a value of the plan's schedule is out of range.
    """

    def __init__(self, Loop loop not None, plan):
        self.think_ns = int(plan.think_seconds * 1e9)
        self.thinking = collections.deque()
        self.lag = Histogram()
        Engine.__init__(self, loop, plan)
        if plan.rate is not None:
            self.schedule = Schedule(
                plan.all_stages(),
                rate=plan.rate,
                arrivals=plan.arrivals,
                phase=plan.phase,
                seed=plan.seed,
            )
        if plan.rate is not None or self.think_ns:
            self.pacer = EnginePacer(loop.selector, polled_ns(plan))
            self.pacer.engine = self

    def begin(self, start_ns):
        ends = Engine.begin(self, start_ns)
        self.budget = INT64_MAX if self.plan.messages is None else self.plan.messages
        if self.schedule is not None:
            self.schedule.begin(start_ns)
            self.arm()
        return ends

    def end(self, now_ns):
        """What was due by now and has not left yet still does, late as it is."""
        self.now = now_ns
        while self.schedule is not None and self.is_due():
            self.send_scheduled()
        if self.pacer is not None:
            self.pacer.close()
        return Engine.end(self, now_ns)

    cdef bint is_due(self) noexcept:
        return self.budget > 0 and self.schedule.next_ns <= self.now

    cdef int on_time(self) except -1:
        self.now = clock_ns()
        if self.schedule is not None:
            self.send_scheduled()
        else:
            self.wake_thinkers()
        return self.arm()

    cdef int arm(self) except -1:
        if not self.sending or self.pacer is None:
            return 0
        if self.schedule is None:
            return self.pacer.arm(self.thinking[0][0]) if self.thinking else 0
        if self.schedule.next_ns != UINT64_MAX and self.budget > 0:
            self.pacer.arm(self.schedule.next_ns)
        return 0

    cdef int send_scheduled(self) except -1:
        """Send what is due: all messages of a connection at once, the connections in turn."""
        cdef uint64_t due[BURST]
        cdef ScheduledConnection connection
        cdef size_t count = 0, first, number, streams = self.senders()
        while count < BURST and self.is_due():
            due[count] = self.schedule.next_ns
            count += 1
            self.budget -= 1
            self.schedule.advance()
        if not streams:
            self.backlog += count
            return 0
        for first in range(min(count, streams)):
            connection = self.next_sender()
            if connection is None:
                self.backlog += count - first
                return 0
            self.loop.turn = connection
            try:
                for number in range(first, count, streams):
                    connection.send_due(due[number])
                connection.flush_cork()
            finally:
                self.loop.turn = None
        for first in range(count % streams if count > streams else 0):
            self.next_sender()  # it had one more than others
        return 0

    cdef size_t senders(self) noexcept:
        return <size_t>self.live

    cdef ScheduledConnection next_sender(self):
        cdef ScheduledConnection connection
        cdef size_t number, count = len(self.connections)
        for number in range(count):
            connection = <ScheduledConnection>self.connections[self.cursor]
            self.cursor = self.cursor + 1 if self.cursor + 1 < count else 0
            if connection is not None and connection.has_turns():
                return connection
        return None

    cdef int think(self, ScheduledConnection connection) except -1:
        self.thinking.append((self.now + self.think_ns, connection))
        return self.arm()

    cdef int wake_thinkers(self) except -1:
        cdef ScheduledConnection connection
        while self.thinking and self.thinking[0][0] <= self.now:
            _, connection = self.thinking.popleft()
            if connection.may_send():
                self.loop.turn = connection
                try:
                    connection.send_now()
                    connection.flush_cork()
                finally:
                    self.loop.turn = None
        return 0

    def counts(self):
        return {**Engine.counts(self), "sent": self.sent, "backlog": self.backlog}

    def histograms(self):
        found = Engine.histograms(self)
        if self.schedule is not None:
            found["lag"] = self.lag
        return found
