"""What every mode shares that sends on a schedule: who sends next, and when."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from wsfast.loadgen.engine cimport Engine
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.outbox cimport Departing
from wsfast.loadgen.pacer cimport Pacer
from wsfast.loadgen.schedule cimport Schedule


cdef class ScheduledConnection(Departing):
    # A mode subclasses it.
    cdef bint has_turns(self) noexcept    # the schedule comes to it: it may send, and is to
    cdef int send_due(self, uint64_t due_ns) except -1    # a message of the schedule
    cdef int send_now(self) except -1     # after a time to think


@cython.final
cdef class EnginePacer(Pacer):
    cdef ScheduledEngine engine   # whom it wakes


cdef class ScheduledEngine(Engine):
    # A mode subclasses it.
    cdef Schedule schedule        # of an open loop; None: it is closed
    cdef EnginePacer pacer        # wakes us when something is due; None: nothing ever is
    cdef uint64_t think_ns        # from an answer to the next message of its connection
    cdef object thinking          # deque of (when, ScheduledConnection), the next one first
    cdef int64_t budget           # messages that may still be sent
    cdef size_t cursor            # of the connections, the one that the schedule comes to next

    cdef readonly Histogram lag   # from due to left; open loop only
    cdef uint64_t sent            # messages
    cdef uint64_t backlog         # messages of the schedule that could not be sent

    cdef bint is_due(self) noexcept       # a message of the schedule
    cdef int on_time(self) except -1      # the pacer: something is due
    cdef int send_scheduled(self) except -1       # what the schedule says is due
    cdef size_t senders(self) noexcept    # how many connections the schedule comes to
    cdef ScheduledConnection next_sender(self)    # in turn; None: there is none
    cdef int think(self, ScheduledConnection connection) except -1        # and send then
    cdef int wake_thinkers(self) except -1        # those that have thought for long enough
    cdef int arm(self) except -1          # the pacer, for what is due next
