# XorMaskerSimple of wsproto at C level: the key of a masker, and moving it on.
from libc.stdint cimport uint32_t


# The key that a masker goes on with, as memcpy leaves it; 0 if it is none that we understand.
cdef bint load_key(object masker, uint32_t *key) except -1

# Leave a masker where the original would be after so many more bytes.
cdef int move_on(object masker, uint32_t key, size_t size) except -1
