"""One socket, one connection and one handler: the only place where loop and protocol meet."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsfast.connection cimport Connection
from wsfast.timetable cimport Times
from wsfast.upgrading cimport CONNECTING, DONE, OPEN, OPENING, REFUSED, Phase, Upgrading

# Phase and its values: how far the life of an endpoint is, see wsfast.upgrading.

cdef class EndpointConnection(Connection):
    cdef Endpoint owner                   # None once the socket is closed


cdef class Endpoint(Upgrading):
    # Subclass it and override on_message for a handler without Python objects.
    cdef EndpointConnection connection    # the protocol; None before the handshake is over
    cdef bint closing                     # the deadline for the end is set
    cdef Times times                      # when what happened, for settings.timetable
    cdef readonly object request          # what opened it (Request, Accepted): in on_open only
    cdef readonly object subprotocol      # the negotiated one (str), or None
    cdef public object state              # for the application; wsfast never touches it

    # life
    # it is open; `trailing`: the frames that came with the end of the handshake
    cdef int start(self, const uint8_t *trailing, size_t size, object extension) except -1
    cdef int abort(self) except -1                            # close the socket now

    # the connection calls these, in wire order; subclasses override
    cdef int on_opened(self) except -1                        # frames may be sent
    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1                                               # as Receiver.on_message
    cdef int on_assembled(self, int opcode, bytes payload) except -1
    cdef int on_ping(self, bytes payload) except -1           # its pong is queued
    cdef int on_pong(self, bytes payload) except -1
    cdef int on_closed(self, int close_code, str reason) except -1    # once, if it was opened

    # sending: see Connection for messages and Close, Transport for raw bytes

    # private
    cdef int begin_close(self, int close_code, str reason) except -1
    cdef int watch(self) except -1        # set the deadline for what comes next while it is open
    cdef int on_due(self) except -1
    cdef int send_heartbeat(self, uint64_t now) except -1
    cdef int give_up(self) except -1
    cdef bint is_open(self) except -1
    cdef bint overflows(self) except -1
    cdef bint control(self, int opcode, bytes payload) except -1
    cdef int receive_trailing(self, const uint8_t *trailing, size_t size) except -1
    cdef int on_no_bytes(self, Py_ssize_t size) except -1
    cdef int on_end(self) except -1
    cdef int take_turn(self, const uint8_t *data, size_t size) except -1
    cdef int fail_internally(self) except -1
    cdef int settle(self) except -1
