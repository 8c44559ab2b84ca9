# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (indices are checked against sizes by hand; free-threading: the key pool has its own lock)
"""Frame headers of RFC 6455 section 5.2, from Python, and the masking keys of section 5.3."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

import os
from typing import NamedTuple

__all__ = ["Header", "decode_header", "encode_header"]


class Header(NamedTuple):
    """One frame header, as `decode_header` returns it."""

    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    opcode: int
    masked: bool
    payload_length: int
    masking_key: bytes
    size: int


cdef enum:
    POOL_BYTES = 4096


@cython.final
cdef class _KeyPool:
    """Random bytes fetched in one system call for many keys: 13 ns a key instead of 400."""

    cdef bytes pool
    cdef int used

    def __cinit__(self):
        self.used = POOL_BYTES

    cdef int take(self, uint32_t *key) except -1:
        with cython.critical_section(self):
            if self.used == POOL_BYTES:
                self.refill()
            memcpy(key, PyBytes_AS_STRING(self.pool) + self.used, 4)
            self.used += 4
        return 0

    cdef int refill(self) except -1:
        self.pool = os.urandom(POOL_BYTES)
        self.used = 0
        return 0

    def drop(self):
        """Forget what is left, so that a forked child does not repeat its parent's keys."""
        self.used = POOL_BYTES


cdef _KeyPool _keys = _KeyPool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keys.drop)


cdef int next_masking_key(uint32_t *key) except -1:
    return _keys.take(key)


def decode_header(data, Py_ssize_t offset=0):
    """Read the frame header that starts at `offset`.

    Args:
        data: bytes-like, contiguous.
        offset: where the header starts, in bytes, 0 to len(data).

    Returns:
        A `Header` (its `size` says where the payload starts), or None if more bytes are needed.

    Raises:
        ValueError: the length is not minimal or has its top bit set (section 5.2), or the
            offset is outside the data.
    """
    cdef Py_buffer view
    cdef FrameHeader header
    cdef int used
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if not 0 <= offset <= view.len:
            raise ValueError(f"offset {offset} is outside of the {view.len} bytes of data")
        used = parse_header(<const uint8_t *>view.buf + offset, view.len - offset, &header)
    finally:
        PyBuffer_Release(&view)
    if used == HEADER_INCOMPLETE:
        return None
    if used == LENGTH_NOT_MINIMAL:
        raise ValueError("payload length is not in its minimal form (RFC 6455 section 5.2)")
    if used == LENGTH_TOP_BIT_SET:
        raise ValueError("64-bit payload length has its top bit set (RFC 6455 section 5.2)")
    return Header(
        header.fin != 0,
        header.rsv & 4 != 0,
        header.rsv & 2 != 0,
        header.rsv & 1 != 0,
        header.opcode,
        header.masked != 0,
        header.payload_length,
        PyBytes_FromStringAndSize(<char *>&header.masking_key, 4 if header.masked else 0),
        used,
    )


def encode_header(
    opcode,
    payload_length,
    *,
    bint fin=True,
    bint rsv1=False,
    bint rsv2=False,
    bint rsv3=False,
    masking_key=None,
):
    """Write a frame header with the shortest form of the length.

    Args:
        opcode: 0 to 15.
        payload_length: bytes, 0 to 2**63 - 1.
        fin, rsv1, rsv2, rsv3: the bits of the first byte.
        masking_key: four bytes, or None for an unmasked frame.

    Returns:
        bytes, 2 to 14 of them.

    Raises:
        ValueError: an argument is outside of what section 5.2 allows.
    """
    cdef uint8_t out[14]
    cdef uint32_t key = 0
    cdef uint8_t first_byte
    cdef bytes key_bytes
    if not 0 <= opcode <= 15:
        raise ValueError(f"opcode {opcode} is not in 0..15 (RFC 6455 section 5.2)")
    if not 0 <= payload_length < 1 << 63:
        raise ValueError(
            f"payload length {payload_length} is not in 0..2**63-1 (RFC 6455 section 5.2)"
        )
    if masking_key is not None:
        key_bytes = bytes(memoryview(masking_key))
        if len(key_bytes) != 4:
            raise ValueError(
                f"masking key has {len(key_bytes)} bytes, not 4 (RFC 6455 section 5.3)"
            )
        memcpy(&key, PyBytes_AS_STRING(key_bytes), 4)
    first_byte = <uint8_t>(fin << 7 | rsv1 << 6 | rsv2 << 5 | rsv3 << 4 | <int>opcode)
    cdef int used = write_header(
        out, first_byte, <uint64_t>payload_length, masking_key is not None, key
    )
    return PyBytes_FromStringAndSize(<char *>out, used)
