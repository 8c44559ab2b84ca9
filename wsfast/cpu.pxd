"""Which kernels are in use: one CPU level for all of them."""

ctypedef void (*UseLevel)(int level) noexcept nogil

# Call use(level) now, and again whenever another level is chosen. At most eight followers.
cdef int follow_cpu_level(UseLevel use) except -1
