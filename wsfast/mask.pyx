# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
# boundscheck, wraparound: nothing here indexes a Python sequence. binding: a plain builtin is
# called 20 ns faster than Cython's function object; embedsignature gives its signature back.
"""Masking of payloads (RFC 6455 section 5.3)."""

from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
)
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
)
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from wsfast.cpu cimport follow_cpu_level

__all__ = ["apply_mask", "apply_mask_in_place"]


cdef extern from "wsfast.h" nogil:
    void ws_mask_use(int level)
    void ws_mask(uint8_t *data, size_t size, uint32_t key)
    void ws_mask_copy(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key)

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
    NOGIL_SIZE = 256 * 1024  # releasing the GIL costs as much as masking some KiB


cdef void mask_in_place(uint8_t *data, size_t size, uint32_t key) noexcept nogil:
    ws_mask(data, size, key)


cdef void mask_copy(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) noexcept nogil:
    ws_mask_copy(dst, src, size, key)


cdef int refuse_key(Py_ssize_t size) except -1:
    raise ValueError(f"masking key has {size} bytes, must have 4 (RFC 6455 section 5.3)")


cdef int refuse_offset(Py_ssize_t offset) except -1:
    raise ValueError(f"offset is {offset}, must not be negative")


cdef int key_from_buffer(object mask, uint32_t *key) except -1:
    cdef Py_buffer view
    PyObject_GetBuffer(mask, &view, PyBUF_SIMPLE)
    try:
        if view.len != 4:
            refuse_key(view.len)
        memcpy(key, view.buf, 4)
    finally:
        PyBuffer_Release(&view)
    return 0


cdef inline int read_key(object mask, Py_ssize_t offset, uint32_t *key) except -1:
    """The key for data that starts `offset` bytes into the payload."""
    if PyBytes_CheckExact(mask):
        if PyBytes_GET_SIZE(mask) != 4:
            refuse_key(PyBytes_GET_SIZE(mask))
        memcpy(key, PyBytes_AS_STRING(mask), 4)
    else:
        key_from_buffer(mask, key)
    if offset:
        if offset < 0:
            refuse_offset(offset)
        key[0] = rotate_key(key[0], <size_t>offset)
    return 0


cdef inline bytes masked_copy(const uint8_t *data, Py_ssize_t size, uint32_t key):
    """The caller keeps data alive and in place."""
    cdef bytes masked = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *target = <uint8_t *>PyBytes_AS_STRING(masked)
    if size < NOGIL_SIZE:
        ws_mask_copy(target, data, <size_t>size, key)
    else:
        with nogil:
            ws_mask_copy(target, data, <size_t>size, key)
    return masked


cdef bytes masked_buffer(object data, uint32_t key):
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return masked_copy(<const uint8_t *>view.buf, view.len, key)
    finally:
        PyBuffer_Release(&view)


cdef int mask_buffer(object buffer, uint32_t key) except -1:
    cdef Py_buffer view
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    except BufferError as error:
        if not PyObject_CheckBuffer(buffer):
            raise
        kind = type(buffer).__name__
        raise BufferError(
            f"apply_mask_in_place needs a writable contiguous buffer, not this {kind}"
        ) from error
    try:
        if view.len < NOGIL_SIZE:
            ws_mask(<uint8_t *>view.buf, <size_t>view.len, key)
        else:
            with nogil:
                ws_mask(<uint8_t *>view.buf, <size_t>view.len, key)
    finally:
        PyBuffer_Release(&view)
    return 0


def apply_mask(data, mask, Py_ssize_t offset=0):
    """XOR data with a masking key; masking again with the same key gives data back.

    Args:
        data: any contiguous bytes-like object.
        mask: the masking key, four bytes (RFC 6455 section 5.3).
        offset: how many bytes of the payload come before data.

    Returns:
        bytes: as long as data.

    Raises:
        TypeError: data or mask is not bytes-like.
        ValueError: mask has not four bytes, or offset is negative.
        BufferError: data is not contiguous.
    """
    cdef uint32_t key
    read_key(mask, offset, &key)
    if PyBytes_CheckExact(data):
        return masked_copy(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), key)
    # A bytearray may be resized by another thread, unless this one keeps the GIL.
    if WS_HAS_GIL and PyByteArray_CheckExact(data) and PyByteArray_GET_SIZE(data) < NOGIL_SIZE:
        return masked_copy(
            <const uint8_t *>PyByteArray_AS_STRING(data), PyByteArray_GET_SIZE(data), key
        )
    return masked_buffer(data, key)


def apply_mask_in_place(buffer, mask, Py_ssize_t offset=0):
    """XOR a buffer with a masking key where it stands.

    Args:
        buffer: any writable contiguous bytes-like object.
        mask: the masking key, four bytes (RFC 6455 section 5.3).
        offset: how many bytes of the payload come before the buffer.

    Raises:
        TypeError: buffer or mask is not bytes-like.
        ValueError: mask has not four bytes, or offset is negative.
        BufferError: buffer is read-only or not contiguous.
    """
    cdef uint32_t key
    read_key(mask, offset, &key)
    if WS_HAS_GIL and PyByteArray_CheckExact(buffer) and PyByteArray_GET_SIZE(buffer) < NOGIL_SIZE:
        ws_mask(
            <uint8_t *>PyByteArray_AS_STRING(buffer), <size_t>PyByteArray_GET_SIZE(buffer), key
        )
    else:
        mask_buffer(buffer, key)


follow_cpu_level(ws_mask_use)
