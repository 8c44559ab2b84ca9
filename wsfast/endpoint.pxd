"""One socket, one connection and one handler: the only place where loop and protocol meet."""

from libc.stdint cimport uint8_t, uint32_t

from wsfast.connection cimport Connection
from wsfast.transport cimport Transport

cdef enum Phase:
    CONNECTING                    # TCP is on its way
    OPENING                       # the opening handshake is
    OPEN                          # frames may go, until both Close frames went
    REFUSED                       # the handshake was refused; its answer is on its way
    DONE                          # no socket (yet, or any more)


cdef class EndpointConnection(Connection):
    cdef Endpoint owner                   # None once the socket is closed


cdef class Endpoint(Transport):
    # Subclass it and override on_message for a handler without Python objects.
    cdef EndpointConnection connection    # the protocol; None before the handshake is over
    cdef object opening                   # the handshake under way; None before and after
    cdef Phase phase                      # how far its life is
    cdef bint closing                     # the deadline for the end is set
    cdef readonly object request          # what opened it (Request, Accepted): in on_open only
    cdef readonly object subprotocol      # the negotiated one (str), or None
    cdef public object state              # for the application; wsfast never touches it

    # life
    cdef int attach(self, int fd, Phase phase) except -1      # own a connecting or connected fd
    # it is open; `trailing`: the frames that came with the end of the handshake
    cdef int start(self, const uint8_t *trailing, size_t size, object extension) except -1
    cdef int abort(self) except -1                            # close the socket now
    cdef int fail_opening(self, object error) except -1       # the handshake came to nothing

    # the connection calls these, in wire order; subclasses override
    cdef int on_connected(self) except -1                     # TCP stands (clients)
    cdef int on_opening(self, const uint8_t *data, size_t size) except -1     # handshake bytes
    cdef int on_opened(self) except -1                        # frames may be sent
    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1                                               # as Receiver.on_message
    cdef int on_assembled(self, int opcode, bytes payload) except -1
    cdef int on_ping(self, bytes payload) except -1           # its pong is queued
    cdef int on_pong(self, bytes payload) except -1
    cdef int on_closed(self, int close_code, str reason) except -1    # once, if it was opened
    cdef int on_failed(self, object error) except -1          # once, if it never was

    # sending: see Connection for messages and Close, Transport for raw bytes

    # private
    cdef bint is_open(self) except -1
    cdef bint overflows(self) except -1
    cdef bint control(self, int opcode, bytes payload) except -1
    cdef int receive_trailing(self, const uint8_t *trailing, size_t size) except -1
    cdef int finish_connect(self) except -1
    cdef int on_no_bytes(self, Py_ssize_t size) except -1
    cdef int on_end(self) except -1
    cdef int take_turn(self, const uint8_t *data, size_t size) except -1
    cdef int on_handler_error(self) except -1
    cdef int fail_internally(self) except -1
    cdef int settle(self) except -1
