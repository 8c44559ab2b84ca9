"""What all endpoints of one selector share: the receive buffer and the cork."""

from libc.stdint cimport uint8_t

from wsfast.buffer cimport Buffer
from wsfast.selector cimport EpollSelector, Stream
from wsfast.tlsbudget cimport TlsBudget

cdef enum:
    RECEIVE_BYTES = 256 * 1024    # at most so much is read from a socket in one turn
    CORK_BYTES = 256 * 1024       # with more than this gathered, the cork is sent within the turn


cdef class Loop:
    cdef readonly EpollSelector selector  # where the endpoints are registered
    cdef Buffer incoming                  # one read at a time lands here
    cdef Buffer cork                      # what the endpoint whose turn it is has sent so far
    cdef Stream turn                      # that endpoint; None between turns
    cdef TlsBudget handshakes             # TLS handshakes share the turns by it
    cdef bint stopping                    # run() ends after this turn
    cdef readonly size_t buffered_bytes   # what all endpoints together have queued

    cdef Buffer receive_buffer(self)      # an unpinned block of RECEIVE_BYTES
