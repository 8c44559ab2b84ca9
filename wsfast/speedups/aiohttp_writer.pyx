# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence; the writer is aiohttp's, and has its rules on threads)
"""aiohttp's frames: header, key and masked payload built in one piece instead of five.

What a server sends above 16 KiB stays in two writes, the header and the caller's own object:
copying it behind its header would cost more than a second write.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.long cimport (
    PyLong_AsLongAndOverflow,
    PyLong_AsLongLongAndOverflow,
    PyLong_Check,
    PyLong_CheckExact,
)
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wsfast.frame cimport store_big_endian, write_header
from wsfast.speedups.building cimport frame_as_bytes

from wsfast.speedups.methods import stand_in

__all__ = ["make_write_websocket_frame"]


cdef enum:
    FIN_BIT = 0x80
    HEADER_ROOM = 14  # the longest header


cdef int first_byte_of(object opcode, object rsv) noexcept:
    cdef int overflow_opcode = 0, overflow_rsv = 0
    cdef long first
    if not PyLong_Check(opcode) or not PyLong_Check(rsv):
        return -1
    first = FIN_BIT | PyLong_AsLongAndOverflow(opcode, &overflow_opcode)
    first |= PyLong_AsLongAndOverflow(rsv, &overflow_rsv)
    if overflow_opcode or overflow_rsv or not 0 <= first <= 0xFF:
        return -1
    return <int>first


@cython.final
cdef class FrameWriter:

    def __cinit__(self, original, module):
        self._original = original
        self._globals = Globals(module, "websocket_mask", "PACK_RANDBITS")
        self._pack_key = module.PACK_RANDBITS
        self._closing_error = module.ClientConnectionResetError
        self._large = module.MSG_SIZE

    cdef object write(self, object writer, object message, object opcode, object rsv):
        cdef int first = first_byte_of(opcode, rsv)
        cdef const uint8_t *payload
        cdef Py_ssize_t size, sent
        cdef uint32_t key = 0
        cdef bint masked
        if first < 0 or not PyBytes_CheckExact(message) or not self._globals.kept():
            return self._original(writer, message, opcode, rsv)
        payload = <const uint8_t *>PyBytes_AS_STRING(message)
        size = PyBytes_GET_SIZE(message)
        masked = writer.use_mask
        transport = writer.transport
        if transport.is_closing():
            raise self._closing_error("Cannot write to closing transport")
        if masked:
            self._take_key(writer, &key)
        elif size > self._large:
            sent = write_in_two(transport, <uint8_t>first, message, size)
            writer._output_size += sent
            return None
        frame = frame_as_bytes(<uint8_t>first, payload, <size_t>size, masked, key)
        transport.write(frame)
        writer._output_size += PyBytes_GET_SIZE(frame)
        return None

    cdef int _take_key(self, object writer, uint32_t *key) except -1:
        cdef int overflow = 0
        cdef uint8_t wire[4]
        cdef long long number = -1
        cdef bytes packed
        bits = writer.get_random_bits()
        if PyLong_CheckExact(bits):
            number = PyLong_AsLongLongAndOverflow(bits, &overflow)
        if 0 <= number <= 0xFFFFFFFF:
            store_big_endian(wire, <unsigned long long>number, 4)
            memcpy(key, wire, 4)
            return 0
        packed = self._pack_key(bits)
        memcpy(key, PyBytes_AS_STRING(packed), 4)
        return 0


cdef Py_ssize_t write_in_two(
    object transport, uint8_t first, bytes message, Py_ssize_t size
) except -1:
    """Returns how many bytes that were."""
    cdef uint8_t header[HEADER_ROOM]
    cdef int used = write_header(header, first, <size_t>size, False, 0)
    transport.write((<char *>header)[:used])
    transport.write(message)
    return used + size


def make_write_websocket_frame(original):
    """What takes the place of `WebSocketWriter._write_websocket_frame`.

    Args:
        original: that function.

    Returns:
        a function of the same name and parameters.
    """
    from aiohttp._websocket import writer as module

    cdef FrameWriter frames = FrameWriter(original, module)

    def _write_websocket_frame(self, message, opcode, rsv):
        return frames.write(self, message, opcode, rsv)

    return stand_in(_write_websocket_frame, original)
