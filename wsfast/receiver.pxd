"""Frames to messages: the receiving half of the protocol, for Connection to build on."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsfast.frame cimport FrameHeader
from wsfast.utf8 cimport Utf8State

cdef enum:
    CONTINUATION = 0x0            # opcodes of section 11.8, for C; Python has rfc6455.Opcode
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA
    RSV1 = 4                      # RSV1 as FrameHeader.rsv holds it
    MAX_CONTROL = 125             # payload of a control frame (5.5)
    TAIL_BYTES = 139              # the longest control frame: 14 bytes of header, 125 of payload


cdef class Receiver:
    # who we are and what we allow
    cdef readonly bint is_server          # the peer must mask, we must not (5.1)
    cdef readonly uint64_t max_message_bytes      # of a message, after decoding
    cdef readonly uint64_t max_fragments  # of one message; 0: no limit
    cdef readonly object extension        # the negotiated extension, or None

    # the frame and the message that are not complete yet
    cdef uint8_t *tail                    # a cut header, or a cut control frame; NULL: none
    cdef uint8_t tail_size                # bytes in the tail
    cdef uint8_t message_opcode           # of the message under way; 0: none
    cdef bint message_encoded             # RSV1 was set on its first frame
    cdef bint frame_fin                   # the frame under way ends its message
    cdef uint32_t frame_key               # its masking key, turned to the next byte
    cdef uint64_t frame_remaining         # bytes of its payload still to come
    cdef uint64_t fragments               # frames of the message so far
    cdef PyObject *assembly               # bytes object that the message grows in; NULL: none
    cdef size_t assembled                 # how many bytes of it are there
    cdef Utf8State utf8                   # validator of an unfinished text message
    cdef readonly bint close_received     # nothing more is read: Close came, we failed, or the end

    # feeding
    cdef int receive_bytes(self, const uint8_t *data, size_t size) except -1

    # what arrived, in wire order, for subclasses to take.
    # key != 0: the payload is still masked with it from its first byte; text is not yet validated
    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1
    cdef int on_assembled(self, int opcode, bytes payload) except -1    # came in parts; valid text
    cdef int on_control(self, int opcode, const uint8_t *payload, size_t size) except -1    # plain
    cdef int fail(self, int close_code, str reason) except -1     # the peer broke a rule (7.1.7)

    # private
    cdef Py_ssize_t receive_other(
        self, const uint8_t *data, size_t size, FrameHeader *header, int used
    ) except -1
    cdef int keep_tail(self, const uint8_t *data, size_t size) except -1
    cdef Py_ssize_t resume(self, const uint8_t *data, size_t size) except -1
    cdef str refusal(self, FrameHeader *header)
    cdef bint exceeds_limits(self, FrameHeader *header) except -1
    cdef void begin_frame(self, FrameHeader *header) noexcept
    cdef int take_part(self, const uint8_t *data, size_t size) except -1
    cdef int take_encoded(self, const uint8_t *data, size_t size) except -1
    cdef uint8_t *grow(self, size_t size) except NULL
    cdef int end_frame(self) except -1
    cdef void drop_message(self) noexcept
