"""The load engine of a process: opens connections, holds them, closes them, and counts."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from wsfast.endpoint cimport Endpoint
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loop cimport Loop
from wsfast.settings cimport Settings


cdef inline uint64_t clock_ns() noexcept nogil:
    """CLOCK_MONOTONIC in nanoseconds."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + <uint64_t>now.tv_nsec


cdef class LoadConnection(Endpoint):
    # A mode subclasses it.
    cdef Engine engine            # whom it belongs to
    cdef uint64_t begun           # when connect() was called, in ns
    cdef uint32_t number          # among the connections of all workers; part of the stamp
    cdef uint32_t slot            # where Engine.connections holds it
    cdef uint32_t greetings       # messages that still answer our first one
    cdef bint returns             # it was opened within the window, in place of one that ended
    cdef bint retired             # we closed it at the end of its lifetime
    cdef int broken               # errno with which the socket failed; 0: it did not
    cdef str key                  # the Sec-WebSocket-Key that it sent; None once open
    cdef bytes received           # what has come of the answer to the handshake

    cdef bint may_send(self) noexcept             # it is open and greeted, neither end is closing
    cdef int greet(self) except -1                # send the first message
    cdef int be_greeted(self, const uint8_t *payload, size_t size) except -1      # its answer
    cdef int live_on(self) except -1              # open and greeted: its lifetime begins
    cdef int receive_message(self, int opcode, const uint8_t *payload, size_t size) except -1
    cdef int begin_sending(self) except -1        # the window, or the warm-up, begins
    cdef int take(self, int opcode, const uint8_t *payload, size_t size) except -1   # a message
    cdef int give_up(self) except -1              # the end: count what is still under way


cdef class Engine:
    # A mode subclasses it.
    # what to do
    cdef Loop loop                # where the connections live
    cdef Settings settings        # theirs
    cdef readonly object plan     # wsfast.loadgen.plan.Plan
    cdef object opener            # wsfast.loadgen.opening.Opener

    cdef double lifetime          # of a connection, in seconds; 0: until the end
    cdef bint greets              # the plan has a first message
    cdef bytes greeting           # what its answer begins with; None: any message is one
    cdef readonly uint64_t ungreeted      # open connections that wait for that answer
    cdef bint reconnects          # whatever ends a connection within the window, it comes back
    cdef object gone              # deque of the slots whose connections are to come back

    # the window
    cdef uint64_t now             # when the latest read returned, in ns
    cdef bint sending             # between begin() and end()
    cdef bint settling            # the end of the run, not of a connection, makes it give up
    cdef bint settled             # what happens from now on is no longer counted
    cdef readonly uint64_t warm_ns        # the warm-up ends and the window begins, in ns
    cdef readonly uint64_t deadline       # the window ends, in ns: nothing is sent after it
    cdef readonly uint64_t last_answer    # when the latest one came, in ns

    # what was counted
    cdef list connections         # LoadConnection by slot; None: it has no socket
    cdef readonly dict errors     # how often, by cause: an errno or the name of a kind
    cdef readonly Histogram handshake     # from connect() to the checked 101
    cdef readonly uint64_t pending        # connections on their way
    cdef readonly uint64_t live           # open connections
    cdef readonly uint64_t held           # connections with a socket, whatever their state
    cdef uint64_t opened          # connections that opened
    cdef uint64_t failed          # connections that did not
    cdef uint64_t reconnected     # connections that came back
    cdef uint64_t reads           # from sockets

    cdef LoadConnection new_connection(self)      # of the mode's class
    cdef bint is_exhausted(self) noexcept         # nothing of the plan is left to do
    cdef Settings make_settings(self)     # limits and deadlines that follow from the plan
    cdef int open_socket(self, object index) except -1    # a descriptor on its way to the target
    cdef int count_error(self, object cause) except -1    # unless settled
