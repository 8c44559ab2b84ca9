# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence; a connection belongs to one loop, as in Tornado)
"""Tornado's frames: header, masking key and masked payload built in one piece instead of six."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_Check
from libc.stdint cimport uint8_t, uint32_t

from wsfast.speedups.building cimport frame_as_bytes

import os

from wsfast.speedups.methods import stand_in

__all__ = ["make_write_frame"]


cdef enum:
    FIN_BIT = 0x80
    CONTROL_BIT = 0x08
    MAX_CONTROL = 125  # RFC 6455 section 5.5


cdef inline long byte_of(object number) noexcept:
    """-1 if it is no integer from 0 to 255."""
    cdef int overflow = 0
    cdef long value
    if not PyLong_Check(number):
        return -1
    value = PyLong_AsLongAndOverflow(number, &overflow)
    return value if not overflow and 0 <= value <= 0xFF else -1


@cython.final
cdef class FrameWriter:

    def __cinit__(self, original, module):
        self._original = original
        self._keys = KeySource(os, "urandom")
        self._source = Globals(os, "urandom")
        self._globals = Globals(module, "_websocket_mask", "os", "struct")

    cdef object write(self, object protocol, object fin, object opcode, object data, object flags):
        cdef long first = byte_of(opcode), extra = byte_of(flags)
        cdef uint32_t key = 0
        cdef bint ends = fin
        cdef bint masks
        if first < 0 or extra < 0 or not PyBytes_CheckExact(data) or not self._globals.kept():
            return self._original(protocol, fin, opcode, data, flags)
        if first & CONTROL_BIT and (not ends or PyBytes_GET_SIZE(data) > MAX_CONTROL):
            return self._original(protocol, fin, opcode, data, flags)
        masks = protocol.mask_outgoing
        if masks:
            if not self._source.kept():
                return self._original(protocol, fin, opcode, data, flags)
            self._keys.take(&key)
        frame = frame_as_bytes(
            <uint8_t>(first | extra | (FIN_BIT if ends else 0)),
            <const uint8_t *>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), masks, key,
        )
        protocol._wire_bytes_out += PyBytes_GET_SIZE(frame)
        return protocol.stream.write(frame)


def make_write_frame(original):
    """What takes the place of `WebSocketProtocol13._write_frame`.

    Args:
        original: that function.

    Returns:
        a function of the same name and parameters.
    """
    from tornado import websocket as module

    cdef FrameWriter frames = FrameWriter(original, module)

    def _write_frame(self, fin, opcode, data, flags=0):
        return frames.write(self, fin, opcode, data, flags)

    return stand_in(_write_frame, original)
