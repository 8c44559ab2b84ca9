# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence)
"""aiohttp's pure-Python `websocket_mask`: the payload is masked in place, nothing is returned."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_CheckExact
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from wsfast.mask cimport mask_in_place

from wsfast.speedups.methods import stand_in

__all__ = ["make_websocket_mask"]


def make_websocket_mask(original):
    """What takes the place of `_websocket_mask_python` under the name `websocket_mask`.

    Args:
        original: that function; it gets what is not bytes and bytearray.

    Returns:
        a function of the same name and parameters.
    """

    def _websocket_mask_python(mask, data):
        cdef uint32_t key
        cdef Py_buffer view
        if not (
            PyBytes_CheckExact(mask) and PyBytes_GET_SIZE(mask) == 4
            and PyByteArray_CheckExact(data)
        ):
            return original(mask, data)
        memcpy(&key, PyBytes_AS_STRING(mask), 4)
        PyObject_GetBuffer(data, &view, PyBUF_WRITABLE)
        mask_in_place(<uint8_t *>view.buf, <size_t>view.len, key)
        PyBuffer_Release(&view)

    return stand_in(_websocket_mask_python, original)
