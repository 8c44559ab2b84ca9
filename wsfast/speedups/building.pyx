# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
# boundscheck, wraparound: nothing here indexes a Python sequence. binding: a plain builtin is
# called 20 ns faster than Cython's function object; embedsignature gives its signature back.
"""Whole frames in one piece: the header and the masked payload (RFC 6455 section 5.2)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

from wsfast.frame cimport write_header
from wsfast.mask cimport mask_copy

__all__ = ["build_frame"]


cdef enum:
    HEADER_ROOM = 14  # the longest header


cdef inline void write_payload(
    uint8_t *out, const uint8_t *payload, size_t size, bint masked, uint32_t masking_key
) noexcept nogil:
    if masked:
        mask_copy(out, payload, size, masking_key)
    else:
        memcpy(out, payload, size)


cdef bytes frame_as_bytes(
    uint8_t first_byte, const uint8_t *payload, size_t size, bint masked, uint32_t masking_key
):
    cdef uint8_t header[HEADER_ROOM]
    cdef int used = write_header(header, first_byte, size, masked, masking_key)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, used + <Py_ssize_t>size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(frame)
    memcpy(out, header, used)
    write_payload(out + used, payload, size, masked, masking_key)
    return frame


cdef bytearray frame_as_bytearray(
    uint8_t first_byte, const uint8_t *payload, size_t size, bint masked, uint32_t masking_key
):
    cdef uint8_t header[HEADER_ROOM]
    cdef int used = write_header(header, first_byte, size, masked, masking_key)
    cdef bytearray frame = PyByteArray_FromStringAndSize(NULL, used + <Py_ssize_t>size)
    cdef uint8_t *out = <uint8_t *>PyByteArray_AS_STRING(frame)
    memcpy(out, header, used)
    write_payload(out + used, payload, size, masked, masking_key)
    return frame


cdef bytes frame_of(uint8_t first_byte, object payload, bint masked, uint32_t masking_key):
    cdef Py_buffer view
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        return frame_as_bytes(
            first_byte, <const uint8_t *>view.buf, <size_t>view.len, masked, masking_key
        )
    finally:
        PyBuffer_Release(&view)


def build_frame(int first_byte, payload, bytes masking_key=None):
    """A whole frame as bytes.

    Args:
        first_byte: FIN, RSV and opcode as they travel; 0x81 is a whole text message.
        payload: any contiguous bytes-like object.
        masking_key: 4 bytes, or None for a frame that is not masked.

    Returns:
        bytes: with a header of minimal length.

    Raises:
        TypeError: payload is not bytes-like.
        BufferError: payload is not contiguous.
        ValueError: first_byte is not a byte, or masking_key has not 4 bytes.
    """
    cdef uint32_t key = 0
    if not 0 <= first_byte <= 0xFF:
        raise ValueError(f"the first byte of a frame is {first_byte}, must be 0 to 255")
    if masking_key is not None:
        if len(masking_key) != 4:
            raise ValueError(f"masking key has {len(masking_key)} bytes, must have 4")
        memcpy(&key, PyBytes_AS_STRING(masking_key), 4)
    return frame_of(<uint8_t>first_byte, payload, masking_key is not None, key)
