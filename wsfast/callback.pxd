"""A stream whose callbacks are Python functions."""

from wsfast.selector cimport EpollSelector, Stream


cdef class CallbackStream(Stream):
    cdef EpollSelector home         # the selector that it was made for
    cdef object ready               # called with the events, or None
    cdef object due                 # called after the deadline, or None
    cdef object turn_end            # called when the turn ends, if at_turn_end asked, or None
