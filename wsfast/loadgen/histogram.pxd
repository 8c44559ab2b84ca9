"""An HDR histogram of nanoseconds: three significant digits from 1 ns to 1 h in a fixed array."""

cimport cython
from cpython.buffer cimport Py_buffer
from libc.stdint cimport int64_t, uint64_t


@cython.final
cdef class Histogram:
    """Counts of durations. Not locked: one thread records, others wait until it is done."""

    cdef object array            # the numpy int64 array that holds the counts
    cdef Py_buffer view          # keeps the memory of that array in place while we live
    cdef int64_t *slots          # its first count
    cdef readonly uint64_t total     # how many values were recorded
    cdef readonly uint64_t clamped   # how many of them were longer than HIGHEST and counted there
    cdef readonly uint64_t sum       # the exact sum of the values, in ns (wraps after 584 years)
    cdef uint64_t lowest         # the smallest value recorded, exact; 2**64 - 1 when empty
    cdef uint64_t highest        # the largest value recorded, exact; 0 when empty

    cdef object value_at(self, object running, double percentage)   # from the running counts
    cdef void record(self, uint64_t value) noexcept nogil    # one duration in ns; about 2 ns
