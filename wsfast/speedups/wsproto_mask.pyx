# cython: language_level=3, freethreading_compatible=True
# (a masker belongs to one connection, and a connection to one thread at a time, as in wsproto)
"""Masking for wsproto (RFC 6455 section 5.3): `XorMaskerSimple.process`.

The masker stays the library's own object, with the key in its `_masking_key`, moved on after
every call by as many places as the payload was long.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport (
    PyByteArray_AS_STRING,
    PyByteArray_CheckExact,
    PyByteArray_GET_SIZE,
)
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wsfast.mask cimport mask_copy, rotate_key

from wsfast.speedups.methods import stand_in

__all__ = ["make_process"]

cdef extern from "Python.h":
    object PyByteArray_FromStringAndSize(const char *data, Py_ssize_t size)


cdef bint load_key(object masker, uint32_t *key) except -1:
    cdef object held = masker._masking_key
    if PyBytes_CheckExact(held) and PyBytes_GET_SIZE(held) == 4:
        memcpy(key, PyBytes_AS_STRING(held), 4)
        return True
    if PyByteArray_CheckExact(held) and PyByteArray_GET_SIZE(held) == 4:
        memcpy(key, PyByteArray_AS_STRING(held), 4)
        return True
    return False


cdef int move_on(object masker, uint32_t key, size_t size) except -1:
    cdef uint32_t rotated = rotate_key(key, size)
    if PyBytes_CheckExact(masker._masking_key):
        masker._masking_key = PyBytes_FromStringAndSize(<char *>&rotated, 4)
    else:
        masker._masking_key = PyByteArray_FromStringAndSize(<char *>&rotated, 4)
    return 0


cdef object masked_bytes(const uint8_t *data, Py_ssize_t size, uint32_t key):
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size)
    mask_copy(<uint8_t *>PyBytes_AS_STRING(result), data, <size_t>size, key)
    return result


cdef object masked_bytearray(const uint8_t *data, Py_ssize_t size, uint32_t key):
    cdef object result = PyByteArray_FromStringAndSize(NULL, size)
    mask_copy(<uint8_t *>PyByteArray_AS_STRING(result), data, <size_t>size, key)
    return result


def make_process(original, bint loose):
    """XorMaskerSimple.process, compiled.

    Args:
        original: the library's own; takes what is no bytes or bytearray, and keys that are not
            4 bytes.
        loose: as before 1.3: it returns bytes, but nothing is returned as it came.
    """

    def process(self, data):
        cdef Py_buffer view
        cdef uint32_t key = 0
        if not (PyBytes_CheckExact(data) or PyByteArray_CheckExact(data)):
            return original(self, data)
        if not load_key(self, &key):
            return original(self, data)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len == 0:
                return data if loose else bytearray()
            if loose:
                result = masked_bytes(<const uint8_t *>view.buf, view.len, key)
            else:
                result = masked_bytearray(<const uint8_t *>view.buf, view.len, key)
            move_on(self, key, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)
        return result

    return stand_in(process, original)
