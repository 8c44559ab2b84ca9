# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (sizes are checked before bytes are indexed; what is bound once is not written afterwards)
"""paho-mqtt's frames: `_create_frame`, `_send_impl` and `_recv_impl` of its socket wrapper.

The wrapper gives MQTT a socket: `recv(n)` returns up to n bytes of the payload of one frame. The
library asks for one byte, then another, then the rest, and parses the frame's header, which it
keeps in front of the payload, again each time; it never asks the socket for bytes that were not
asked of it, so that nothing waits in its buffer while the socket is not readable. All of that
stays; only the first two bytes are received at once if the socket is one of the standard library.
"""

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.bytearray cimport (
    PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_FromStringAndSize,
    PyByteArray_GET_SIZE,
)
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
)
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wsfast.frame cimport load_big_endian, next_masking_key
from wsfast.mask cimport mask_copy, mask_in_place, rotate_key
from wsfast.speedups.building cimport frame_as_bytearray
from wsfast.speedups.methods cimport Globals, Methods

import os
import socket
import ssl

from wsfast.speedups.methods import random_source, stand_in

__all__ = ["Frames"]


cdef enum:
    FIN = 0x80
    CONTINUATION = 0
    BINARY = 2
    LARGEST = 1 << 30  # more than MQTT has in a packet; no sum of two overflows


cdef int fill(dict own, bytearray buffer, Py_ssize_t upto, Py_ssize_t *head) except -1:
    cdef Py_ssize_t wanted = upto - PyByteArray_GET_SIZE(buffer)
    if wanted > 0:
        data = own["_socket"].recv(wanted)
        if not data:
            raise ConnectionAbortedError
        buffer.extend(data)
        if len(data) < wanted:
            raise BlockingIOError
    head[0] = upto
    return 0


cdef object one_byte_by(object original, object owner):
    """What the library's _recv_impl gives for a frame that has arrived."""
    sample = owner.__new__(owner)
    sample._readbuffer, sample._readbuffer_head, sample._payload_head = bytearray(b"\x82\1x"), 0, 0
    return original(sample, 1)


@cython.final
cdef class Frames:
    """Reads and builds paho-mqtt's frames; bound to the library as it is now.

    Args:
        wrapper: the class `_WebsocketWrapper`, before 2.0 `WebsocketWrapper`.
    """

    def __cinit__(self, type wrapper not None):
        names = ("_create_frame", "_buffered_read", "_recv_impl", "_send_impl")
        fields = (
            "connected", "_ssl", "_host", "_port", "_socket", "_path", "_sendbuffer",
            "_readbuffer", "_requested_size", "_payload_head", "_readbuffer_head",
        )
        self.owner = wrapper
        self.wrapper = Methods(wrapper, names, fields, len(fields))
        random_source()
        self.system = Globals(os, "urandom")
        self.sockets = (socket.socket, ssl.SSLSocket)

    # --- building --------------------------------------------------------------------------------

    def make_create_frame(self, original):
        """A replacement of `_create_frame`."""
        cdef Frames frames = self

        def _create_frame(self, opcode, data, do_masking=1):
            frame = frames.build(opcode, data, do_masking)
            return original(self, opcode, data, do_masking) if frame is None else frame

        return stand_in(_create_frame, original)

    cdef bytearray build(self, object opcode, object data, object do_masking):
        cdef uint32_t key = 0
        cdef uint8_t *payload
        cdef Py_ssize_t size
        cdef bytearray frame
        if not PyByteArray_CheckExact(data) or not PyLong_CheckExact(opcode):
            return None
        if not PyLong_CheckExact(do_masking) and not PyBool_Check(do_masking):
            return None
        if not 0 <= do_masking <= 1 or not 0 <= opcode <= 127 or not self.system.kept():
            return None
        payload = <uint8_t *>PyByteArray_AS_STRING(data)
        size = PyByteArray_GET_SIZE(data)
        if do_masking:
            next_masking_key(&key)
        frame = frame_as_bytearray(FIN | <uint8_t>opcode, payload, size, do_masking, key)
        if do_masking:
            mask_in_place(payload, size, key)
        return frame

    def make_send_impl(self, original):
        """A replacement of `_send_impl`."""
        cdef Frames frames = self

        def _send_impl(self, data):
            cdef dict own = frames.wrapper.attributes(self)
            cdef bytearray rest
            if own is None or not PyByteArray_CheckExact(own["_sendbuffer"]):
                return original(self, data)
            rest = own["_sendbuffer"]
            if not rest:
                rest = frames.frame_for(data)
                if rest is None:
                    return original(self, data)
                own["_sendbuffer"] = rest
                own["_requested_size"] = len(data)
            sent = own["_socket"].send(rest)
            own["_sendbuffer"] = rest[sent:]
            return 0 if own["_sendbuffer"] else own["_requested_size"]

        return stand_in(_send_impl, original)

    cdef bytearray frame_for(self, object data):
        cdef uint32_t key = 0
        cdef const uint8_t *payload
        if not self.system.kept():
            return None
        if PyBytes_CheckExact(data):
            payload = <const uint8_t *>PyBytes_AS_STRING(data)
        elif PyByteArray_CheckExact(data):
            payload = <const uint8_t *>PyByteArray_AS_STRING(data)
        else:
            return None
        next_masking_key(&key)
        return frame_as_bytearray(FIN | BINARY, payload, len(data), True, key)

    # --- reading ---------------------------------------------------------------------------------

    def make_recv_impl(self, original):
        """A replacement of `_recv_impl`."""
        cdef Frames frames = self
        self.gives_bytes = type(one_byte_by(original, self.owner)) is bytes

        def _recv_impl(self, length):
            cdef Py_ssize_t head = 0
            cdef dict own = frames.wrapper.attributes(self)
            if own is None or not PyLong_CheckExact(length) or not 0 < length <= LARGEST:
                return original(self, length)
            if not PyByteArray_CheckExact(own["_readbuffer"]):
                return original(self, length)
            try:
                part = frames.next_part(own, length, &head)
            except ConnectionError:
                own["connected"] = False
                return b""
            finally:
                own["_readbuffer_head"] = head
            return original(self, length) if part is None else part

        return stand_in(_recv_impl, original)

    cdef object next_part(self, dict own, Py_ssize_t length, Py_ssize_t *head):
        cdef bytearray buffer = own["_readbuffer"]
        cdef const uint8_t *data
        cdef uint64_t payload_length
        cdef uint32_t key = 0
        cdef int size, masked, opcode
        self.read_start(own, buffer, head)
        data = <const uint8_t *>PyByteArray_AS_STRING(buffer)
        opcode, masked, payload_length = data[0] & 15, data[1] >> 7, data[1] & 127
        if payload_length >= 126:
            size = 2 if payload_length == 126 else 8
            fill(own, buffer, 2 + size, head)
            payload_length = load_big_endian(
                <const uint8_t *>PyByteArray_AS_STRING(buffer) + 2, size
            )
        if masked:
            fill(own, buffer, head[0] + 4, head)
            memcpy(&key, PyByteArray_AS_STRING(buffer) + head[0] - 4, 4)
        if (opcode != BINARY and opcode != CONTINUATION) or payload_length == 0:
            return None
        return self.take_part(own, buffer, payload_length, key, length, head)

    cdef int read_start(self, dict own, bytearray buffer, Py_ssize_t *head) except -1:
        if not buffer and type(own["_socket"]) in self.sockets:
            data = own["_socket"].recv(2)
            if not data:
                raise ConnectionAbortedError
            buffer.extend(data)
        fill(own, buffer, 1, head)
        return fill(own, buffer, 2, head)

    cdef object take_part(
        self, dict own, bytearray buffer, uint64_t payload_length, uint32_t key, Py_ssize_t length,
        Py_ssize_t *head,
    ):
        cdef Py_ssize_t first = head[0]
        cdef Py_ssize_t start = own["_payload_head"]
        cdef Py_ssize_t end = start + length
        cdef uint8_t *out
        if <uint64_t>end > payload_length:
            end = <Py_ssize_t>payload_length
        if not 0 <= start <= end:
            return None
        fill(own, buffer, first + end, head)
        if self.gives_bytes:
            part = PyBytes_FromStringAndSize(NULL, end - start)
            out = <uint8_t *>PyBytes_AS_STRING(part)
        else:
            part = PyByteArray_FromStringAndSize(NULL, end - start)
            out = <uint8_t *>PyByteArray_AS_STRING(part)
        mask_copy(
            out, <const uint8_t *>PyByteArray_AS_STRING(buffer) + first + start,
            <size_t>(end - start), rotate_key(key, <size_t>start),
        )
        own["_payload_head"] = end
        if <uint64_t>end == payload_length:
            own["_readbuffer"] = bytearray()
            own["_payload_head"] = 0
        return part
