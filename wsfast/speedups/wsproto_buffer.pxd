# The bytes that a wsproto FrameDecoder has yet to read, as they were fed.
cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint8_t


# Takes the place of wsproto's Buffer in one decoder. Everything in it is immutable bytes, so a
# pointer into it stays valid as long as nothing is fed, joined or skipped.
@cython.final
cdef class StreamBuffer:
    cdef bytes chunk               # what is read from
    cdef Py_ssize_t start          # of it that is not consumed
    cdef list later                # chunks that follow; empty while the chunk is
    cdef Py_ssize_t waiting        # bytes in them
    cdef public Py_ssize_t bytes_used   # of what is not consumed, as wsproto's Buffer counts it
    cdef object original           # wsproto's Buffer: what it is pickled as

    # Take what was received: bytes as they are, everything else as a copy. Raises as
    # `bytearray() + data` does.
    cdef int append(self, data) except -1

    # Whether nothing waits to be read.
    cdef inline bint is_empty(self) noexcept:
        return self.start == PyBytes_GET_SIZE(self.chunk)

    # What can be read at once, and how much; join() adds the rest.
    cdef const uint8_t *peek(self, Py_ssize_t *size) noexcept

    # Make one chunk of all, where there are later ones.
    cdef int join(self) except -1

    # Consume so many bytes of the chunk; a later one follows by itself.
    cdef int skip(self, Py_ssize_t size) except -1

    # Copy up to that many bytes from where the library reads on.
    cdef bytes ahead(self, Py_ssize_t size)

    # Do not keep a large chunk for a few bytes.
    cdef int trim(self) except -1


# The StreamBuffer among a FrameDecoder's attributes. Where wsproto's own Buffer still stands, it
# is emptied into a new one that takes its place; None if something else stands there.
cdef StreamBuffer buffer_of(dict decoder, object original)
