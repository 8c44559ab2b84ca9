"""How many TLS handshakes are continued in one turn of the loop."""

from libc.stdint cimport uint32_t

from wsfast.selector cimport EpollSelector, Stream
from wsfast.tls cimport TlsSession


cdef class TlsBudget:
    cdef EpollSelector selector           # whose turns count
    cdef int per_turn                     # steps that one turn may take
    cdef int left                         # of them in this turn
    cdef uint32_t turn                    # selector.turn that `left` is for
    cdef object waiting                   # deque of (stream, session) in order
    cdef bint resuming                    # those that waited are being called
    cdef bint called                      # the next turn calls resume()

    # Whether the stream may take a step of its handshake now. If not, its on_ready is called in
    # one of the next turns.
    cdef bint take(self, Stream stream, TlsSession session) except -1

    # private
    cdef int begin_turn(self) except -1
    cdef int call_later(self) except -1
