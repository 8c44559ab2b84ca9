"""When messages are due: constant or Poisson arrivals at a rate that may ramp."""

cimport cython
from libc.stdint cimport uint64_t

cdef enum:
    STEADY = 0                    # the gaps at a constant rate are all the same
    POISSON = 1                   # they are exponentially distributed


@cython.final
cdef class Schedule:
    cdef readonly uint64_t next_ns        # when the next message is due; 2**64 - 1: no more
    cdef int arrivals                     # STEADY or POISSON
    cdef uint64_t random                  # state of the generator of gaps
    cdef tuple stages                     # (seconds, rate) that are left, the next one last
    cdef double rate                      # messages/s at the beginning of the current stage
    cdef double slope                     # messages/s/s within it
    cdef double length                    # of it, in seconds
    cdef double expected                  # messages that it holds
    cdef double position                  # messages of it before the next one; need not be whole
    cdef double passed                    # seconds of the stages before it
    cdef uint64_t start_ns                # when the first stage began

    cdef int advance(self) except -1      # go on to the message behind the next one

    # private
    cdef double gap(self) noexcept
    cdef int settle(self) except -1
    cdef bint enter_stage(self) except -1
