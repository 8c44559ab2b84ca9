# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (indices stay below sizes that were checked; a masker belongs to one frame of one connection)
"""Maskers (RFC 6455 section 5.3) with the contracts of the libraries that mask byte by byte.

What is bytes-like in the plain sense goes to the kernel of `wsfast.mask`; anything else that a
library takes or refuses goes to its own code, which knows how.
"""

cimport cython
from cpython.buffer cimport PyBUF_FULL_RO, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport (
    PyByteArray_AS_STRING,
    PyByteArray_CheckExact,
    PyByteArray_FromStringAndSize,
    PyByteArray_GET_SIZE,
)
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.long cimport PyLong_CheckExact
from cpython.memoryview cimport PyMemoryView_Check, PyMemoryView_GET_BUFFER
from libc.string cimport memcpy

from wsfast.mask cimport mask_copy, mask_in_place, rotate_key

from wsfast.speedups.methods import stand_in

__all__ = [
    "XorMasker",
    "XorMaskerNull",
    "XorMaskerSimple",
    "createXorMasker",
    "make_apply_mask",
    "make_create_xor_masker",
    "make_mask",
    "make_mask_in_place",
    "make_mask_payload",
]


cdef enum:
    NOGIL_SIZE = 256 * 1024  # releasing the GIL costs as much as masking some KiB


# --- bytes in, bytes out -------------------------------------------------------------------------


cdef Py_ssize_t plain_size(object data):
    cdef Py_buffer *view
    if PyBytes_CheckExact(data):
        return PyBytes_GET_SIZE(data)
    if PyByteArray_CheckExact(data):
        return PyByteArray_GET_SIZE(data)
    if not PyMemoryView_Check(data):
        return -1
    view = PyMemoryView_GET_BUFFER(data)
    if view.ndim != 1 or view.itemsize != 1 or view.strides != NULL and view.strides[0] != 1:
        return -1
    if view.format != NULL and not (view.format[0] == b"B" and view.format[1] == 0):
        return -1
    return view.len


cdef bint load_key(object key, uint32_t *loaded) noexcept:
    if PyBytes_CheckExact(key) and PyBytes_GET_SIZE(key) >= 4:
        memcpy(loaded, PyBytes_AS_STRING(key), 4)
        return True
    if PyByteArray_CheckExact(key) and PyByteArray_GET_SIZE(key) >= 4:
        memcpy(loaded, PyByteArray_AS_STRING(key), 4)
        return True
    return False


cdef inline void mask_into(
    uint8_t *dst, const uint8_t *src, Py_ssize_t size, uint32_t key
) noexcept:
    if size < NOGIL_SIZE:
        mask_copy(dst, src, <size_t>size, key)
    else:
        with nogil:
            mask_copy(dst, src, <size_t>size, key)


cdef bytes masked_bytes(object data, uint32_t key):
    cdef Py_buffer view
    cdef bytes result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        result = PyBytes_FromStringAndSize(NULL, view.len)
        mask_into(<uint8_t *>PyBytes_AS_STRING(result), <const uint8_t *>view.buf, view.len, key)
    finally:
        PyBuffer_Release(&view)
    return result


cdef bytearray masked_bytearray(object data, uint32_t key):
    cdef Py_buffer view
    cdef bytearray result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        result = PyByteArray_FromStringAndSize(NULL, view.len)
        mask_into(
            <uint8_t *>PyByteArray_AS_STRING(result), <const uint8_t *>view.buf, view.len, key
        )
    finally:
        PyBuffer_Release(&view)
    return result


cdef bytes copied(object data):
    """What is in a buffer of any kind; raises what a buffer that is none raises."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_FULL_RO)
    PyBuffer_Release(&view)
    return bytes(memoryview(data))


# --- wsaccel -------------------------------------------------------------------------------------


cdef class XorMaskerNull:
    """The masker of a frame that is not masked: counts, and returns what it gets.

    Args:
        mask: ignored.
    """

    def __init__(self, mask=None):
        self.used = 0

    def pointer(self):
        """How many bytes that were since the last reset."""
        return self.used

    def reset(self):
        """Count from 0 again."""
        self.used = 0

    def process(self, data):
        """Count the bytes; returns data itself."""
        self.used += len(data)
        return data


cdef class XorMaskerSimple:
    """Masks a payload that comes in parts.

    Args:
        mask: the masking key, bytes-like.

    Raises:
        TypeError: mask is not bytes-like.
        ValueError: mask has not 4 bytes.
    """

    def __init__(self, mask):
        if not PyBytes_CheckExact(mask):
            mask = b"" if mask is None else copied(mask)
        if PyBytes_GET_SIZE(mask) != 4:
            raise ValueError("mask should be 4byte.")
        memcpy(&self.key, PyBytes_AS_STRING(mask), 4)
        self.used = 0

    def pointer(self):
        """How many bytes of the payload have been masked."""
        return self.used

    def reset(self):
        """Start with a new payload."""
        self.used = 0

    def process(self, data):
        """Mask the next part of the payload.

        Args:
            data: bytes-like.

        Returns:
            bytes: as many.

        Raises:
            TypeError: data is not bytes-like.
        """
        cdef bytes result
        if plain_size(data) < 0:
            data = b"" if data is None else copied(data)
        result = masked_bytes(data, rotate_key(self.key, self.used))
        self.used += <size_t>PyBytes_GET_SIZE(result)
        return result


def createXorMasker(mask, len=None):
    """A masker for a payload; `len`, how long that is, changes nothing."""
    return XorMaskerSimple(mask)


# --- autobahn ------------------------------------------------------------------------------------


@cython.final
@cython.freelist(16)
cdef class XorMasker:
    """Masks a payload that comes in parts; made by what `make_create_xor_masker` returns."""

    def pointer(self):
        """How many bytes of the payload have been masked."""
        return self.used

    def reset(self):
        """Start with a new payload."""
        self.used = 0

    def process(self, data):
        """Mask the next part of the payload.

        Args:
            data: bytes-like; what else autobahn's own masker takes.

        Returns:
            bytes: as many.
        """
        cdef uint32_t key = rotate_key(self.key, self.used)
        if plain_size(data) >= 0:
            result = masked_bytes(data, key)
        else:
            result = self._factory((<char *>&key)[:4]).process(data)
        self.used += <size_t>len(result)
        return result


def make_create_xor_masker(original):
    """A replacement of autobahn's `create_xor_masker(mask, length=None)`."""

    def create_xor_masker(mask, length=None):
        cdef XorMasker masker
        if not PyBytes_CheckExact(mask) or PyBytes_GET_SIZE(mask) != 4:
            return original(mask, length)
        if length is not None and not PyLong_CheckExact(length):
            return original(mask, length)
        masker = XorMasker.__new__(XorMasker)
        memcpy(&masker.key, PyBytes_AS_STRING(mask), 4)
        masker.used = 0
        masker._factory = original
        return masker

    return stand_in(create_xor_masker, original)


# --- gevent-websocket, ws4py, lomond, eventlet ---------------------------------------------------


def make_mask_payload(original):
    """A replacement of gevent-websocket's `Header.mask_payload(self, payload)`."""

    def mask_payload(self, payload):
        cdef uint32_t key = 0
        if PyBytes_CheckExact(payload) or PyByteArray_CheckExact(payload):
            if load_key(self.mask, &key) and self.length == len(payload):
                return masked_bytearray(payload, key)
        return original(self, payload)

    return stand_in(mask_payload, original)


def make_mask(original):
    """A replacement of ws4py's `Frame.mask(self, data)`; of longer keys it takes 4 bytes."""

    def mask(self, data):
        cdef uint32_t key = 0
        if PyBytes_CheckExact(data) or PyByteArray_CheckExact(data):
            if load_key(self.masking_key, &key):
                return masked_bytearray(data, key)
        return original(self, data)

    return stand_in(mask, original)


def make_mask_in_place(original):
    """A replacement of lomond's `mask_payload(masking_key, data)`."""

    def mask_payload(masking_key, data):
        cdef uint32_t key = 0
        if not PyByteArray_CheckExact(data) or not load_key(masking_key, &key):
            return original(masking_key, data)
        if len(masking_key) != 4:
            return original(masking_key, data)
        mask_in_place(
            <uint8_t *>PyByteArray_AS_STRING(data), <size_t>PyByteArray_GET_SIZE(data), key
        )

    return stand_in(mask_payload, original)


cdef int key_of_numbers(object mask, uint32_t *key) except -1:
    """1 if the mask is four numbers that are bytes, in a tuple or a list."""
    cdef uint8_t *wire = <uint8_t *>key
    cdef Py_ssize_t i
    cdef object number
    if (type(mask) is not tuple and type(mask) is not list) or len(mask) != 4:
        return 0
    for i in range(4):
        number = mask[i]
        if not PyLong_CheckExact(number) or not 0 <= number <= 255:
            return 0
        wire[i] = <uint8_t>number
    return 1


def make_apply_mask(original):
    """A replacement of eventlet's static `_apply_mask(data, mask, length=None, offset=0)`."""
    theirs = original.__func__

    def _apply_mask(data, mask, length=None, offset=0):
        cdef uint32_t key = 0
        if (
            (PyBytes_CheckExact(data) or PyByteArray_CheckExact(data))
            and (length is None or PyLong_CheckExact(length) and length == len(data))
            and PyLong_CheckExact(offset)
            and key_of_numbers(mask, &key)
        ):
            return masked_bytes(data, rotate_key(key, <size_t>(offset % 4)))
        return theirs(data, mask, length, offset)

    return staticmethod(stand_in(_apply_mask, theirs))
