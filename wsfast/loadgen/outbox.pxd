"""Where messages of a turn wait to leave together."""

from libc.stdint cimport uint32_t, uint64_t

from wsfast.loadgen.engine cimport LoadConnection
from wsfast.loadgen.sendbatch cimport SendBatch
from wsfast.selector cimport Stream


cdef class Departing(LoadConnection):
    cdef bint admitted                    # the outbox takes what it sends
    cdef bint waits                       # ... and has a message of it

    # What was put left at that time, by clock_ns(); for subclasses.
    cdef int on_left(self, uint64_t when) except -1


cdef class Outbox(Stream):
    cdef SendBatch batch                  # messages, and the table of those admitted
    cdef list waiting                     # of each message of the batch its connection

    cdef void admit(self, Departing connection) noexcept      # it is open
    cdef int dismiss(self, Departing connection) except -1    # its socket was closed
    # Takes what it has in the cork; False: it did not, and that may be sent at once.
    cdef bint put(self, Departing connection) except -1
    cdef int leave(self) except -1                            # now


# None where the system cannot do it.
cdef Outbox open_outbox(object loop, uint32_t connections)
