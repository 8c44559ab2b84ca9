"""What a connection was opened with, for as long as it lives: bytes, no objects."""

from libc.stdint cimport uint8_t

from wsfast.settings cimport Settings, Tally
from wsfast.transport cimport Transport


cdef class Opened(Transport):
    cdef object opened_by                 # Request or Accepted in on_open, then a record or None
    cdef tuple parameters                 # of the path: name, value, name ...; None: none
    cdef readonly object subprotocol      # the negotiated one (str), or None
    cdef public object state              # for the application; wsfast never touches it

    # Keep what was asked for as an object, for on_open.
    cdef int remember(self, object request, object subprotocol) except -1
    # From now on as bytes. What is no Request (clients) is forgotten.
    cdef int condense(self) except -1
    # Live by the settings of a route from now on.
    cdef int change_settings(self, Settings settings) except -1

    # Count from now on, if its settings say so; `trailing` bytes of frames came already.
    cdef int begin_tally(self, size_t trailing) except -1

    # private: read on, or not, as `halts` has it from now on
    cdef int halt_or_read(self, uint8_t halts) except -1
