"""A socket on its way to be a WebSocket: TCP, TLS, and the opening handshake."""

from libc.stdint cimport uint8_t, uint32_t

from wsfast.opened cimport Opened

cdef enum Phase:
    CONNECTING                    # TCP is on its way
    OPENING                       # the opening handshake is
    KEPT                          # a plain request was answered, and another one may come
    OPEN                          # frames may go, until both Close frames went
    REFUSED                       # the handshake was refused; its answer is on its way
    DONE                          # no socket (yet, or any more)


cdef class Upgrading(Opened):
    cdef object opening                   # of the requests under way; None before and after
    cdef Phase phase                      # how far its life is
    cdef bint answer_ready                # the opening is to be called again: it has its answer

    cdef int attach(self, int fd, Phase phase) except -1      # own a connecting or connected fd
    cdef int fail_opening(self, object error) except -1       # the handshake came to nothing

    # for subclasses
    cdef int on_connected(self) except -1                     # TCP, and TLS, stands (clients)
    cdef int on_opening(self, const uint8_t *data, size_t size) except -1     # handshake bytes
    cdef int on_failed(self, object error) except -1          # once, if it was never opened
    cdef int on_handler_error(self) except -1                 # a callback raised
    cdef int abort(self) except -1                            # close the socket now
    cdef int settle(self) except -1                           # the next step towards the end
    cdef int fail_open(self) except -1                        # end what is open, with 1011

    # private, for Endpoint
    cdef int finish_connect(self) except -1                   # TCP stands, or it does not
    cdef int on_opening_end(self, int error) except -1        # 0: the peer left, or an errno
    cdef int take_preface(self, const uint8_t *data, size_t size) except -1
    cdef int on_opening_deadline(self) except -1
    cdef int tell_answered(self, object response) except -1   # to the opening, if it listens
