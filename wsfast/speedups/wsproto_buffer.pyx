# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (one thread at a time per connection, as in wsproto; pickled as wsproto's own class)
"""The bytes that a wsproto FrameDecoder has yet to read, without copying what is received.

wsproto adds every read to a bytearray, and cuts what it has consumed off its front. Nearly every
read holds whole frames, or payload that is handed out at once: so a read is kept as the bytes
object that came, and read where it lies. Only what the end of a read cuts, a header or a control
frame, is joined with the read that follows.

A StreamBuffer has the methods of wsproto's Buffer, so that the library's own code goes on with it
wherever ours steps back.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

__all__ = ["StreamBuffer"]

cdef enum:
    TRIM_SIZE = 4096    # a chunk of at least this is not kept alive for a few bytes at its end


@cython.final
cdef class StreamBuffer:
    """Stands in for wsproto's Buffer.

    Args:
        original: that class.

    Attributes:
        bytes_used: how far it is consumed without a commit().
    """

    def __cinit__(self, original):
        self.original = original
        self.chunk = b""
        self.later = []

    cdef int append(self, data) except -1:
        cdef bytes taken
        if type(data) is bytes:
            taken = <bytes>data
        else:
            copy = bytearray()
            copy += data
            taken = bytes(copy)
        if self.start == PyBytes_GET_SIZE(self.chunk):
            self.chunk = taken
            self.start = 0
        elif taken:
            self.later.append(taken)
            self.waiting += PyBytes_GET_SIZE(taken)
        return 0

    cdef const uint8_t *peek(self, Py_ssize_t *size) noexcept:
        size[0] = PyBytes_GET_SIZE(self.chunk) - self.start
        return <const uint8_t *>PyBytes_AS_STRING(self.chunk) + self.start

    cdef int join(self) except -1:
        if self.waiting:
            if self.start < PyBytes_GET_SIZE(self.chunk):
                self.later.insert(0, self.chunk[self.start:])
            self.chunk = self.later[0] if len(self.later) == 1 else b"".join(self.later)
            self.start = 0
            self.later = []
            self.waiting = 0
        return 0

    cdef int skip(self, Py_ssize_t size) except -1:
        self.start += size
        if self.start == PyBytes_GET_SIZE(self.chunk):
            self.chunk = b""
            self.start = 0
            self.join()
        return 0

    cdef bytes ahead(self, Py_ssize_t size):
        """Copy up to that many bytes from where reading goes on."""
        self.join()
        cdef Py_ssize_t start = self.start + self.bytes_used
        return self.chunk[start:start + min(size, PyBytes_GET_SIZE(self.chunk) - start)]

    @property
    def buffer(self):
        """bytearray: a copy of what is not consumed."""
        self.join()
        return bytearray(self.chunk[self.start:])

    def feed(self, new_bytes):
        """Take what was received."""
        self.append(new_bytes)

    def consume_at_most(self, nbytes):
        """Up to that many bytes, as a new bytearray; final with commit()."""
        if not nbytes:
            return bytearray()
        data = bytearray(self.ahead(nbytes))
        self.bytes_used += len(data)
        return data

    def consume_exactly(self, nbytes):
        """That many bytes as a new bytearray, or None while there are fewer."""
        if len(self) - self.bytes_used < nbytes:
            return None
        return self.consume_at_most(nbytes)

    def commit(self):
        """Drop what was consumed."""
        self.join()
        self.skip(self.bytes_used)
        self.bytes_used = 0
        self.trim()

    def rollback(self):
        """Take back what was consumed since the last commit()."""
        self.bytes_used = 0
        self.trim()

    cdef int trim(self) except -1:
        """Let go of a large read whose end waits for the next one."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.chunk)
        if size >= TRIM_SIZE and size - self.start <= size // 2:
            self.chunk = self.chunk[self.start:]
            self.start = 0
        return 0

    def __len__(self):
        return PyBytes_GET_SIZE(self.chunk) - self.start + self.waiting

    def __reduce__(self):
        return self.original, (bytes(self.buffer),)


cdef StreamBuffer buffer_of(dict decoder, object original):
    cdef object found = decoder["buffer"]
    cdef StreamBuffer ours
    if type(found) is StreamBuffer:
        return <StreamBuffer>found
    if type(found) is not original or found.bytes_used:
        return None
    ours = StreamBuffer(original)
    ours.append(found.buffer)
    decoder["buffer"] = ours
    return ours
