"""What became of the messages of each stage of a schedule."""

cimport cython
from libc.stdint cimport uint64_t


cdef struct Stage:
    uint64_t end_ns               # a message due before it, and not in an earlier one, is its
    uint64_t sent                 # messages of it that left
    uint64_t received             # and that were answered
    uint64_t censored             # and that were not, at the end of the run


@cython.final
cdef class StageCounts:
    cdef Stage *stages            # in order
    cdef size_t count             # how many
    cdef object seconds           # how long each one is
    cdef list intended            # a Histogram each: from when a message was due to its answer
    cdef list actual              # from when it left
    cdef list lag                 # from when it was due to when it left

    cdef size_t index(self, uint64_t due_ns) noexcept     # of the stage of a message
    cdef int sent(self, uint64_t due_ns, uint64_t now_ns) except -1
    cdef int answered(self, uint64_t due_ns, uint64_t sent_ns, uint64_t now_ns) except -1
    cdef int censor(self, uint64_t due_ns) except -1      # it is in the histograms as answered
