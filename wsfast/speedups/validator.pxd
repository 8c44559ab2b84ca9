# The Hoehrmann-style UTF-8 validator at C level (RFC 3629), resumable at any byte.
from libc.stdint cimport uint8_t, uint32_t


# A text that arrives in chunks. The three attributes are public in Python too, and may be set.
cdef class Utf8Validator:
    # Of the automaton: 0 accepts, 1 rejects, 2 to 8 are inside of a sequence.
    cdef public int state

    # Bytes accepted so far, over all chunks; after a reject where the refused byte stands.
    cdef public Py_ssize_t i

    # What `decode` has put together of the code point so far; `validate` leaves it alone.
    cdef public uint32_t codepoint

    # Continue with a chunk: size if it can be part of a valid text, else the offset of the byte
    # that cannot. Keeps `state` and `i`. May give up the GIL for a chunk that is large.
    cdef Py_ssize_t feed(self, const uint8_t *data, Py_ssize_t size) noexcept

    # The same, unmasking src into dst on the way (dst == src is allowed, no other overlap).
    cdef Py_ssize_t feed_masked(
        self, uint8_t *dst, const uint8_t *src, Py_ssize_t size, uint32_t key
    ) noexcept

    # What `validate` returns for a chunk of that size after `feed` has returned `valid`.
    cdef tuple verdict(self, Py_ssize_t valid, Py_ssize_t size)

    # Start with a new text.
    cdef void start(self) noexcept
