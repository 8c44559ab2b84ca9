# paho-mqtt's frames: what its socket wrapper for transport="websockets" does with bytes.
from libc.stdint cimport uint32_t, uint64_t

from wsfast.speedups.methods cimport Globals, Methods


# What frames are read and built with, looked up in the library once.
cdef class Frames:
    cdef type owner                # the class _WebsocketWrapper
    cdef Methods wrapper           # its methods
    cdef Globals system            # of os: urandom
    cdef tuple sockets             # the classes of which is known what recv does
    cdef bint gives_bytes          # before 2.2 a part of a payload was a bytearray

    # _create_frame, if there is nothing unusual about it; else None. Masks `data` in place.
    cdef bytearray build(self, object opcode, object data, object do_masking)

    # The frame that _send_impl begins to send; None if the library has to build it.
    cdef bytearray frame_for(self, object data)

    # _recv_impl: the next part of a payload, or None if it is not the payload of a data frame.
    # *head is what _readbuffer_head comes to.
    cdef object next_part(self, dict own, Py_ssize_t length, Py_ssize_t *head)

    # A copy of a part of the payload that starts at *head, and the end of its frame if it is.
    cdef object take_part(
        self, dict own, bytearray buffer, uint64_t payload_length, uint32_t key, Py_ssize_t length,
        Py_ssize_t *head,
    )

    # The first two bytes of a frame.
    cdef int read_start(self, dict own, bytearray buffer, Py_ssize_t *head) except -1


# Receive until the buffer has `upto` bytes, and say so in *head; raises BlockingIOError if the
# socket has not got as many.
cdef int fill(dict own, bytearray buffer, Py_ssize_t upto, Py_ssize_t *head) except -1
