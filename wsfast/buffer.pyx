# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointer arithmetic throughout; sizes are checked by hand)
"""A byte buffer that grows, consumes from the front, and can be pinned.

The loop receives into one of these, and every connection queues what the kernel did not take in
one of its own. A memoryview of the block pins it: a pinned block is never moved, reused or freed,
so a view stays valid for as long as it is kept. The owner asks for `exports` and takes another
Buffer when it is not zero.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

__all__ = ["Buffer"]

cdef enum:
    SMALLEST_BLOCK = 512


@cython.final
cdef class Buffer:
    """Bytes in one block. Python sees its content through the buffer protocol, read-only."""

    def __dealloc__(self):
        free(self.data)

    def __len__(self):
        return self.end - self.start

    cdef uint8_t *reserve(self, size_t size) except NULL:
        if self.capacity - self.end >= size and self.data != NULL:
            return self.data + self.end
        if self.exports:
            raise BufferError(f"a buffer pinned by {self.exports} views cannot grow")
        cdef size_t held = self.end - self.start
        if self.capacity - held >= size and held <= self.start:
            memcpy(self.data, self.data + self.start, held)
        else:
            self.move(held, held + size)
        self.start = 0
        self.end = held
        return self.data + held

    cdef int move(self, size_t held, size_t needed) except -1:
        """Take a block at least twice as large, so that appending stays O(1) a byte."""
        cdef size_t capacity = max(<size_t>SMALLEST_BLOCK, needed, 2 * self.capacity)
        cdef uint8_t *block = <uint8_t *>malloc(capacity)
        if block == NULL:
            raise MemoryError(f"no memory for a buffer of {capacity} bytes")
        if held:
            memcpy(block, self.data + self.start, held)
        free(self.data)
        self.data = block
        self.capacity = capacity
        return 0

    cdef int append(self, const uint8_t *data, size_t size) except -1:
        if size:
            memcpy(self.reserve(size), data, size)
            self.end += size
        return 0

    cdef void consume(self, size_t size) noexcept:
        self.start += size
        if self.start == self.end:
            self.start = self.end = 0

    cdef void release(self) noexcept:
        self.start = self.end = 0
        if not self.exports:
            free(self.data)
            self.data = NULL
            self.capacity = 0

    cdef bytes take(self):
        cdef bytes content = PyBytes_FromStringAndSize(
            <char *>self.data + self.start, self.end - self.start
        )
        self.start = self.end = 0
        return content

    cdef object view(self, const uint8_t *data, size_t size):
        cdef size_t offset = data - self.data
        return memoryview(_Block(self))[offset : offset + size]

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data + self.start, self.end - self.start, 1, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.exports -= 1


@cython.final
cdef class _Block:
    """The whole block of a Buffer, content or not, for views of what was received into it."""

    cdef Buffer buffer

    def __cinit__(self, Buffer buffer):
        self.buffer = buffer

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.buffer.data, self.buffer.capacity, 1, flags)
        self.buffer.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.buffer.exports -= 1
