# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence)
"""Tornado's `_websocket_mask`: its C extension's function, or the byte loop that stands in."""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from wsfast.mask cimport mask_copy

from types import BuiltinFunctionType

from wsfast.speedups.methods import stand_in

__all__ = ["make_websocket_mask"]


cdef object masked(object mask, object data):
    cdef Py_ssize_t size
    cdef uint32_t key
    if not PyBytes_CheckExact(mask) or PyBytes_GET_SIZE(mask) != 4 or not PyBytes_CheckExact(data):
        return None
    memcpy(&key, PyBytes_AS_STRING(mask), 4)
    size = PyBytes_GET_SIZE(data)
    result = PyBytes_FromStringAndSize(NULL, size)
    mask_copy(
        <uint8_t *>PyBytes_AS_STRING(result), <const uint8_t *>PyBytes_AS_STRING(data),
        <size_t>size, key,
    )
    return result


def make_websocket_mask(original):
    """What takes the place of `_websocket_mask`.

    Args:
        original: that function; it gets what is not bytes, and keys that are not 4 bytes long.

    Returns:
        a function of the same name and parameters: those of the extension have no names.
    """

    def websocket_mask(mask, data, /):
        result = masked(mask, data)
        return original(mask, data) if result is None else result

    def _websocket_mask_python(mask, data):
        result = masked(mask, data)
        return original(mask, data) if result is None else result

    compiled = isinstance(original, BuiltinFunctionType)
    return stand_in(websocket_mask if compiled else _websocket_mask_python, original)
