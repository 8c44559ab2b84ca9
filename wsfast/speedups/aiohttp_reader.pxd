# What aiohttp's pure-Python WebSocketReader does with the bytes of one read.
from libc.stdint cimport int64_t, uint8_t

from wsfast.frame cimport FrameHeader
from wsfast.speedups.methods cimport Globals, Methods


# What a reader remembers between frames, as far as it decides how the next one is read.
cdef struct Between:
    int frame_fin                  # _frame_fin: the last frame ended its message
    int compressed                 # _compressed: -1 not set, 0 no, 1 yes
    int opcode                     # _opcode: of the message whose fragments arrive; -1: none
    int compress                   # _compress: permessage-deflate was negotiated
    int decode_text                # _decode_text: texts become str
    int64_t held                   # bytes in _partial: of the fragments so far
    int64_t limit                  # _max_msg_size: a message is shorter; 0: any size


# Reads whole frames in place of WebSocketReader._feed_data, and leaves all else to it.
cdef class FrameReader:
    cdef object _original          # the function that is replaced
    cdef Methods _readers          # of WebSocketReader
    cdef Methods _queues           # of WebSocketDataQueue
    cdef Globals _globals          # what the original calls by name
    cdef type _message             # WSMessage
    cdef type _undecoded           # WSMessageTextBytes; WSMessage where there is none
    cdef object _text              # WSMsgType.TEXT
    cdef object _binary            # WSMsgType.BINARY
    cdef bint _stalls              # the reader stops while its queue is full
    cdef Py_ssize_t _overhead      # what the queue counts for a message beside its bytes

    # What the original does with the bytes of one read.
    cdef object feed(self, object reader, object data)

    # Its own __dict__ and that of its queue are known: read on from where the last read ended.
    cdef object _continue(self, object reader, dict own, dict queue, bytes data)

    # Whether the queue is full, and the reader has to stop.
    cdef bint _full(self, dict queue) except -1

    # Complete the frame that an earlier read began: the offset behind it in data; -1 if data
    # does not complete it, and was given to the original.
    cdef Py_ssize_t _complete(self, object reader, dict own, dict queue, bytes data) except -2

    # Complete a message of one plain frame with the first bytes of data: whether it was one.
    cdef bint _join(self, dict own, object queue, bytes data, Py_ssize_t need) except -1

    # Read whole frames from an offset on: the offset of the first that was not read.
    cdef Py_ssize_t _walk(
        self, object reader, dict own, dict queue, bytes data, Py_ssize_t at
    ) except -1

    # Read a whole frame whose payload is at that place: 1 if nothing but the message came of it,
    # 2 if aiohttp's own code ran, 0 if it is left to the original.
    cdef int _frame(
        self, object reader, dict own, Between *state, FrameHeader *header, const uint8_t *payload
    ) except -1

    # Read a frame that is the whole message, and not compressed: whether it was valid.
    cdef bint _plain(
        self, dict own, Between *state, FrameHeader *header, const uint8_t *payload
    ) except -1

    # The message and its size into the queue, as WebSocketDataQueue.feed_data does it.
    cdef int _deliver(
        self, object queue, int opcode, object content, bint decoded, Py_ssize_t size
    ) except -1

