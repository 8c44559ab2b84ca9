"""A byte buffer that grows, consumes from the front, and can be pinned."""

from libc.stdint cimport uint8_t


cdef class Buffer:
    cdef uint8_t *data            # the block; NULL while nothing is held
    cdef size_t start             # first byte of the content
    cdef size_t end               # one past its last byte
    cdef size_t capacity          # bytes in the block
    cdef readonly int exports     # views that pin the block: while > 0 it is never moved or freed

    cdef uint8_t *reserve(self, size_t size) except NULL     # room behind the content; may move it
    cdef int append(self, const uint8_t *data, size_t size) except -1    # copy to the end
    cdef void consume(self, size_t size) noexcept            # drop from the front
    cdef void release(self) noexcept                         # drop all, give the block back
    cdef bytes take(self)                                    # all content as bytes; then empty
    cdef int move(self, size_t held, size_t needed) except -1      # to a larger block
    cdef object view(self, const uint8_t *data, size_t size)  # memoryview of a part of the block
