"""One socket, one connection and one handler: the only place where loop and protocol meet."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsfast.messaging cimport EndpointConnection, Messaging
from wsfast.upgrading cimport CONNECTING, DONE, KEPT, OPEN, OPENING, REFUSED, Phase

# Phase and its values: how far the life of an endpoint is, see wsfast.upgrading.


cdef class Endpoint(Messaging):
    # Subclass it and override on_message for a handler without Python objects.
    cdef bint closing                     # the deadline for the end is set
    cdef int unacknowledged               # bytes in the kernel at our last ping, if it was blocked

    # it is open; `trailing`: the frames that came with the end of the handshake
    cdef int start(self, const uint8_t *trailing, size_t size, object extension) except -1
    cdef int on_opened(self) except -1    # frames may be sent; for subclasses

    # sending: see Connection for messages and Close, Transport for raw bytes

    # private
    cdef int receive_trailing(self, const uint8_t *trailing, size_t size) except -1
    cdef int on_no_bytes(self, Py_ssize_t size) except -1
    cdef int on_end(self) except -1
    cdef int take_turn(self, const uint8_t *data, size_t size) except -1
    cdef int on_due(self) except -1
    cdef bint is_dead(self, uint64_t now) noexcept
    cdef int send_heartbeat(self, uint64_t now) except -1
    cdef int give_up(self) except -1
