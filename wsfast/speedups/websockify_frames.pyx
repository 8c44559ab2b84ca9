# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (sizes are checked before bytes are indexed; what is bound once is not written afterwards)
"""websockify's frames: `_unmask`, `_decode_hybi` and `_recv_frames`.

The library receives 4096 bytes at a time, appends them to what is there, and cuts the frames off
its front one by one. Here they are cut off together, and when a large frame has begun to arrive
as much of it is received at once as is there.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_CheckExact
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
)
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wsfast.frame cimport load_big_endian
from wsfast.mask cimport mask_copy
from wsfast.speedups.methods cimport Methods

import errno
import socket

from wsfast.mask import apply_mask
from wsfast.speedups.methods import stand_in

__all__ = ["Frames", "make_unmask"]


cdef enum:
    FIN = 0x80
    USUAL_READ = 4096       # what the library asks for
    LARGEST_READ = 1 << 18  # what is set aside before it has arrived


def make_unmask(original):
    """A replacement of `_unmask`."""

    def _unmask(self, buf, mask):
        if PyBytes_CheckExact(mask) and PyBytes_GET_SIZE(mask) == 4:
            if PyBytes_CheckExact(buf) or PyByteArray_CheckExact(buf):
                return apply_mask(buf, mask)
        return original(self, buf, mask)

    return stand_in(_unmask, original)


cdef dict decode_at(bytes data, Py_ssize_t offset, Py_ssize_t *missing):
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data) + offset
    cdef Py_ssize_t there = PyBytes_GET_SIZE(data) - offset
    cdef Py_ssize_t used = 2
    cdef uint64_t length
    cdef uint32_t key = 0
    cdef int size, masked
    cdef bytes payload
    missing[0] = 0
    if there < 2:
        return None
    masked, length = start[1] >> 7, start[1] & 127
    size = 0 if length < 126 else 2 if length == 126 else 8
    used += size + 4 * masked
    if there < used:
        return None
    if size:
        length = load_big_endian(start + 2, size)
    if length > <uint64_t>(there - used):
        length -= <uint64_t>(there - used)
        missing[0] = <Py_ssize_t>length if length < LARGEST_READ else LARGEST_READ
        return None
    payload = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length)
    if masked:
        memcpy(&key, start + used - 4, 4)
    mask_copy(<uint8_t *>PyBytes_AS_STRING(payload), start + used, <size_t>length, key)
    return {
        "fin": start[0] >= FIN,
        "opcode": start[0] & 15,
        "masked": masked != 0,
        "length": used + <Py_ssize_t>length,
        "payload": payload,
    }


@cython.final
cdef class Frames:
    """Reads and builds websockify's frames; bound to the library as it is now."""

    def __cinit__(self):
        from websockify.websocket import WebSocket, WebSocketWantReadError

        received = ("_recv_buffer", "_recv_queue", "socket")
        self.decoding = Methods(WebSocket, ("_unmask",), (), -1)
        self.receiving = Methods(WebSocket, ("_recv", "_decode_hybi", "_unmask"), received, -1)
        self.plain_socket = Methods(socket.socket, ("recv",), (), 0)
        self.socket = socket.socket
        self.want_read = WebSocketWantReadError

    def make_decode_hybi(self, original):
        """A replacement of `_decode_hybi`."""
        cdef Frames frames = self

        def _decode_hybi(self, buf):
            cdef Py_ssize_t missing
            if not PyBytes_CheckExact(buf) or frames.decoding.attributes(self) is None:
                return original(self, buf)
            return decode_at(buf, 0, &missing)

        return stand_in(_decode_hybi, original)

    def make_recv_frames(self, original):
        """A replacement of `_recv_frames`."""
        cdef Frames frames = self

        def _recv_frames(self):
            cdef dict own = frames.receiving.attributes(self)
            cdef dict frame
            cdef bytes data
            cdef Py_ssize_t offset = 0, missing
            if own is None or not PyBytes_CheckExact(own["_recv_buffer"]):
                return original(self)
            if not frames.receive(self, own):
                if self.close_code is None:
                    self.close_code = 1006
                    self.close_reason = "Connection closed abnormally"
                    self._sent_close = self._received_close = True
                self._close()
                return False
            data = own["_recv_buffer"]
            while True:
                frame = decode_at(data, offset, &missing)
                if frame is None:
                    break
                offset += frame["length"]
                own["_recv_queue"].append(frame)
            if offset:
                own["_recv_buffer"] = data[offset:]
            return True

        return stand_in(_recv_frames, original)

    cdef bint receive(self, object connection, dict own) except -1:
        cdef object sock = own["socket"]
        cdef Py_ssize_t missing = 0
        if type(sock) is not self.socket or not self.plain_socket.kept(self.socket):
            return connection._recv()
        if own["_recv_buffer"]:
            decode_at(own["_recv_buffer"], 0, &missing)
        try:
            data = sock.recv(max(missing, USUAL_READ))
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                raise self.want_read
            raise
        if not data:
            return False
        own["_recv_buffer"] += data
        return True
