# What Tornado's WebSocketProtocol13 does with a frame that its stream has already read.
from libc.stdint cimport uint8_t

from wsfast.frame cimport FrameHeader
from wsfast.speedups.methods cimport Globals, Methods


# Receives a frame in place of WebSocketProtocol13._receive_frame, between its waits.
cdef class FrameReceiver:
    cdef Methods _protocols        # of WebSocketProtocol13: what reads
    cdef Methods _handling         # of the same: what handles a message
    cdef Methods _streams          # of BaseIOStream
    cdef Globals _globals          # what the original calls by name

    # The stream, if everything is as the original would use it; else None.
    cdef object stream_of(self, object protocol)

    # Consume the header that begins with these bytes, or with what the stream holds: whether it
    # was whole, and of a frame that is received here. If not, nothing is consumed, and the bytes
    # are back in the stream.
    cdef bint open(
        self, object protocol, object stream, bytes first, FrameHeader *header
    ) except -1

    # Take the payload out of the stream, or from data that was read, and hand it on: what the
    # original would wait for now.
    cdef object take(
        self, object protocol, object stream, bytes data, FrameHeader *header
    )

    # A payload as _handle_message takes it: a text is str only if it is a whole message, valid,
    # and handled as by the original.
    cdef object _content(
        self, object protocol, dict own, FrameHeader *header, const uint8_t *payload, bytes data
    )

    # Do with it what the opcode says; returns what the handler returned.
    cdef object _dispatch(
        self, object protocol, dict own, FrameHeader *header, object content
    )
