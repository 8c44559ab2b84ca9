"""What a handler does with an open connection: messages, control frames, and closing."""

from libc.stdint cimport uint8_t, uint32_t

from wsfast.connection cimport Connection
from wsfast.rates cimport Buckets
from wsfast.timetable cimport Times
from wsfast.upgrading cimport Upgrading


cdef class EndpointConnection(Connection):
    cdef Messaging owner                  # None once the socket is closed


cdef class Messaging(Upgrading):
    cdef EndpointConnection connection    # the protocol; None before the handshake is over
    cdef Times times                      # when what happened, for settings.timetable
    cdef Buckets *buckets                 # for settings.rates; NULL: no limits

    cdef bint is_open(self) except -1                         # raises before it is
    cdef int begin_close(self, int close_code, str reason) except -1
    cdef int fail_internally(self) except -1                  # with 1011
    cdef int abort(self) except -1                            # close the socket now

    # the connection calls these, in wire order; subclasses override
    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1                                               # as Receiver.on_message
    cdef int on_assembled(self, int opcode, bytes payload) except -1
    cdef int on_ping(self, bytes payload) except -1           # its pong is queued
    cdef int on_pong(self, bytes payload) except -1           # not of our heartbeats
    cdef int on_closed(self, int close_code, str reason) except -1    # once, if it was opened

    # for subclasses
    cdef int settle(self) except -1       # take the next step towards the end
    cdef int watch(self) except -1        # set the deadline for what comes next while it is open

    # private
    cdef bint is_too_fast(self, int rate, double amount) except -1
    cdef bint control(self, int opcode, bytes payload) except -1
    cdef bint send_parts(self, int opcode, object part, object parts) except -1
    cdef bint send_slowly(self, object message, object key) except -1
    cdef bint hold(self, object message, object key) except -1
    cdef int refill(self, size_t limit) except -1
    cdef bint overflows(self) except -1
