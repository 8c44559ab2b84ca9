# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (the loop below checks every size by hand)
"""A module of somebody else: it reaches the kernels by cimport, with no header of wsfast's."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from wsfast.frame cimport (
    HEADER_INCOMPLETE,
    FrameHeader,
    next_masking_key,
    parse_header,
    write_header,
)
from wsfast.mask cimport mask_copy, mask_in_place, rotate_key
from wsfast.utf8 cimport Utf8State, feed_utf8, unmask_ascii, unmask_utf8, validate_utf8

__all__ = ["fresh_key", "is_text", "read_frame", "read_text", "text_in_pieces", "write_frame"]


def write_frame(int first_byte, bytes payload, bytes masking_key):
    """One masked frame: header from write_header, payload from mask_copy."""
    cdef uint8_t head[14]
    cdef uint32_t key = 0
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    memcpy(&key, PyBytes_AS_STRING(masking_key), 4)
    cdef int used = write_header(head, <uint8_t>first_byte, <size_t>size, True, key)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, used + size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(frame)
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(payload)
    memcpy(out, head, <size_t>used)
    with nogil:
        mask_copy(out + used, source, <size_t>size, key)
    return frame


def read_frame(bytes data):
    """(opcode, fin, payload) of the one frame in data, unmasked in two halves; None: incomplete."""
    cdef FrameHeader header
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef int used = parse_header(source, <size_t>PyBytes_GET_SIZE(data), &header)
    if used == HEADER_INCOMPLETE:
        return None
    if used < 0:
        raise ValueError(f"header error {used}")
    if header.payload_length > <size_t>(PyBytes_GET_SIZE(data) - used):
        return None
    cdef size_t size = <size_t>header.payload_length
    cdef size_t half = size // 2
    cdef bytes payload = PyBytes_FromStringAndSize(<const char *>source + used, <Py_ssize_t>size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(payload)
    mask_in_place(out, half, header.masking_key)
    mask_in_place(out + half, size - half, rotate_key(header.masking_key, half))
    return header.opcode, bool(header.fin), payload


def read_text(bytes masked, bytes masking_key):
    """(is ASCII, offset of the first bad byte, unmasked bytes) of one masked payload."""
    cdef Utf8State state
    cdef uint32_t key = 0
    cdef size_t size = <size_t>PyBytes_GET_SIZE(masked)
    cdef bytes plain = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(plain)
    cdef const uint8_t *source = <const uint8_t *>PyBytes_AS_STRING(masked)
    memset(&state, 0, sizeof(state))
    memcpy(&key, PyBytes_AS_STRING(masking_key), 4)
    cdef int ascii = unmask_ascii(out, source, size, key)
    cdef size_t bad = unmask_utf8(&state, out, source, size, key)
    return bool(ascii), bad, plain


def is_text(bytes data):
    """(offset that validate_utf8 returns, complete)."""
    cdef int complete = 0
    cdef size_t size = <size_t>PyBytes_GET_SIZE(data)
    cdef size_t end = validate_utf8(<const uint8_t *>PyBytes_AS_STRING(data), size, &complete)
    return end, bool(complete)


def text_in_pieces(bytes data):
    """The same, a byte at a time: (bytes that could be continued, complete)."""
    cdef Utf8State state
    cdef Py_ssize_t offset
    memset(&state, 0, sizeof(state))
    for offset in range(PyBytes_GET_SIZE(data)):
        if feed_utf8(&state, <const uint8_t *>PyBytes_AS_STRING(data) + offset, 1) == 0:
            return offset, False
    return PyBytes_GET_SIZE(data), state.pending == 0


def fresh_key():
    """A masking key as bytes."""
    cdef uint32_t key = 0
    next_masking_key(&key)
    return PyBytes_FromStringAndSize(<char *>&key, 4)
