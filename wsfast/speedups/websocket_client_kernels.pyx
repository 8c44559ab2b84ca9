# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a Python sequence, and nothing is shared)
"""websocket-client's kernels: masking, and UTF-8 as far as the library validates it."""

from cpython.bytearray cimport PyByteArray_CheckExact
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
)
from cpython.memoryview cimport PyMemoryView_Check, PyMemoryView_GET_BUFFER
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from wsfast.mask cimport mask_copy
from wsfast.utf8 cimport Utf8State, feed_utf8

from wsfast.speedups.methods import stand_in

__all__ = ["make_mask", "make_validate_utf8"]


cdef bint is_bytes_like(object data) except -1:
    """Whether array.array("B", data) would copy the bytes as they are."""
    cdef Py_buffer *view
    if PyBytes_CheckExact(data) or PyByteArray_CheckExact(data):
        return True
    if not PyMemoryView_Check(data):
        return False
    view = PyMemoryView_GET_BUFFER(data)
    if view.ndim != 1 or view.itemsize != 1 or view.strides[0] != 1:
        return False
    return view.format == NULL or (view.format[0] == b"B" and view.format[1] == 0)


cdef bytes masked(object masking_key, object data):
    """The data under the key, if both are of the usual kind; else None."""
    cdef uint32_t key
    cdef Py_buffer view
    cdef bytes result
    if not PyBytes_CheckExact(masking_key) or PyBytes_GET_SIZE(masking_key) != 4:
        return None
    memcpy(&key, PyBytes_AS_STRING(masking_key), 4)
    if type(data) is str:
        data = (<str>data).encode("latin-1")
    if not is_bytes_like(data):
        return None
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        result = PyBytes_FromStringAndSize(NULL, view.len)
        mask_copy(<uint8_t *>PyBytes_AS_STRING(result), <const uint8_t *>view.buf, view.len, key)
    finally:
        PyBuffer_Release(&view)
    return result


def make_mask(original):
    """A replacement of the static method `ABNF.mask`."""
    theirs = original.__func__

    def mask(mask_key, data):
        result = masked(mask_key, data)
        return theirs(mask_key, data) if result is None else result

    return staticmethod(stand_in(mask, theirs))


cdef bint may_become_text(bytes data) noexcept:
    cdef Utf8State state
    cdef size_t size = <size_t>PyBytes_GET_SIZE(data)
    state.pending = 0
    return feed_utf8(&state, <const uint8_t *>PyBytes_AS_STRING(data), size) == size


def make_validate_utf8(original):
    """A replacement of `websocket._utils._validate_utf8`."""

    def _validate_utf8(utfbytes):
        if PyBytes_CheckExact(utfbytes):
            return may_become_text(<bytes>utfbytes)
        if PyByteArray_CheckExact(utfbytes):
            return may_become_text(bytes(utfbytes))
        return original(utfbytes)

    return stand_in(_validate_utf8, original)
