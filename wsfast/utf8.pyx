# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
# boundscheck, wraparound: nothing here indexes a Python sequence. binding: a plain builtin is
# called 20 ns faster than Cython's function object; embedsignature gives its signature back.
"""UTF-8 validation, whole or resumable at any byte (RFC 6455 section 8.1, RFC 3629)."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t

from wsfast.cpu cimport follow_cpu_level

__all__ = ["Utf8Validator", "is_valid_utf8"]


cdef extern from "wsfast.h" nogil:
    ctypedef struct ws_utf8_state:
        pass
    void ws_utf8_use(int level)
    size_t ws_utf8_validate(const uint8_t *data, size_t size, int *complete)
    size_t ws_utf8_feed(ws_utf8_state *state, const uint8_t *data, size_t size)
    int ws_unmask_ascii(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key)
    size_t ws_unmask_utf8(
        ws_utf8_state *state, uint8_t *dst, const uint8_t *src, size_t size, uint32_t key
    )

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define WS_HAS_GIL 0
    #else
    #define WS_HAS_GIL 1
    #endif
    """
    const bint WS_HAS_GIL

cdef enum:
    NOGIL_SIZE = 256 * 1024  # releasing the GIL costs as much as validating some KiB


cdef size_t validate_utf8(const uint8_t *data, size_t size, int *complete) noexcept nogil:
    return ws_utf8_validate(data, size, complete)


cdef size_t feed_utf8(Utf8State *state, const uint8_t *data, size_t size) noexcept nogil:
    return ws_utf8_feed(<ws_utf8_state *>state, data, size)


cdef int unmask_ascii(
    uint8_t *dst, const uint8_t *src, size_t size, uint32_t key
) noexcept nogil:
    return ws_unmask_ascii(dst, src, size, key)


cdef size_t unmask_utf8(
    Utf8State *state, uint8_t *dst, const uint8_t *src, size_t size, uint32_t key
) noexcept nogil:
    return ws_unmask_utf8(<ws_utf8_state *>state, dst, src, size, key)


cdef inline bint is_valid(const uint8_t *data, Py_ssize_t size) noexcept:
    """The caller keeps data alive and in place."""
    cdef int complete = 0
    if size < NOGIL_SIZE:
        ws_utf8_validate(data, <size_t>size, &complete)
    else:
        with nogil:
            ws_utf8_validate(data, <size_t>size, &complete)
    return complete


def is_valid_utf8(data, /):
    """Whether data is complete, valid UTF-8.

    Args:
        data: any contiguous bytes-like object.

    Returns:
        bool: what data.decode() would accept; surrogates and overlong forms are not valid.

    Raises:
        TypeError: data is not bytes-like.
        BufferError: data is not contiguous.
    """
    cdef Py_buffer view
    if PyBytes_CheckExact(data):
        return is_valid(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    # A bytearray may be resized by another thread, unless this one keeps the GIL.
    if WS_HAS_GIL and PyByteArray_CheckExact(data) and PyByteArray_GET_SIZE(data) < NOGIL_SIZE:
        return is_valid(<const uint8_t *>PyByteArray_AS_STRING(data), PyByteArray_GET_SIZE(data))
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return is_valid(<const uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Utf8Validator:
    """Validates a text that arrives in parts, and fails at the first byte that cannot be valid.

    A part may end anywhere, also inside a sequence. Once a part has failed the text stays
    invalid, whatever follows, until reset(). Not to be fed by two threads at once.
    """

    cdef Utf8State state   # what feed_utf8 carries from part to part
    cdef bint failed       # a byte was refused
    cdef size_t accepted   # bytes before the one that was refused

    def feed(self, data, /):
        """Continue the text with data.

        Args:
            data: any contiguous bytes-like object.

        Returns:
            bool: whether the text so far is valid, or can still become so.

        Raises:
            TypeError: data is not bytes-like.
            BufferError: data is not contiguous.
        """
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            return self.advance(
                <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
            )
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.advance(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef bint advance(self, const uint8_t *data, Py_ssize_t size) noexcept:
        cdef size_t valid
        if self.failed:
            return False
        if size < NOGIL_SIZE:
            valid = feed_utf8(&self.state, data, <size_t>size)
        else:
            with nogil:
                valid = feed_utf8(&self.state, data, <size_t>size)
        self.accepted += valid
        self.failed = valid != <size_t>size
        return not self.failed

    def reset(self):
        """Forget the text, and start with the next one."""
        self.state.pending = 0
        self.failed = False
        self.accepted = 0

    @property
    def valid(self):
        """bool: no byte was refused so far."""
        return not self.failed

    @property
    def complete(self):
        """bool: the text is valid and does not end inside a sequence."""
        return not self.failed and self.state.pending == 0

    @property
    def position(self):
        """int: bytes accepted, over all parts; after a failure the offset of the refused byte."""
        return self.accepted


follow_cpu_level(ws_utf8_use)
