# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence; a connection belongs to one loop, as in Tornado)
"""Tornado's frames, taken out of the stream's buffer instead of read in three or four steps.

Each step is a coroutine, a Future and a dozen calls, and all but the first find what they want
in the buffer, because the stream reads as much as there is. So only the first two bytes are
awaited, and the payload when it has not arrived yet; both by `read_bytes`, as in the original.
The rest is cut out of `_read_buffer`, which is what `read_bytes` would do: `BaseIOStream` is
private there, and this is used only with the releases whose methods were read for it.

Whatever is not a frame in order goes back into the buffer, and to the original. So does a frame
whose header is not whole.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from wsfast.connection cimport message_from
from wsfast.frame cimport parse_header

from wsfast.speedups.methods import stand_in

__all__ = ["make_receive_frame"]


cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CONTROL_BIT = 8
    MAX_CONTROL = 125  # RFC 6455 section 5.5
    RSV1 = 4
    SHORTEST_HEADER = 2
    LONGEST_HEADER = 14

cdef tuple _PROTOCOL_FIELDS = (
    "stream", "handler", "params", "client_terminated", "_decompressor", "_frame_compressed",
    "_fragmented_message_buffer", "_fragmented_message_opcode", "_wire_bytes_in",
    "_message_bytes_in", "FIN", "RSV1", "RSV_MASK", "OPCODE_MASK",
)
cdef tuple _STREAM_METHODS = (
    "read_bytes", "_start_read", "_try_inline_read", "_find_read_pos", "_read_from_buffer",
    "_finish_read", "_consume", "_maybe_add_error_listener",
)
cdef tuple _STREAM_FIELDS = (
    "_read_buffer", "_read_buffer_size", "_read_future", "_user_read_buffer",
)


cdef int consume(object stream, Py_ssize_t size) except -1:
    """What `BaseIOStream._consume` does but for the bytes, and `_finish_read` after it."""
    cdef bytearray held = stream._read_buffer
    cdef Py_ssize_t rest = PyByteArray_GET_SIZE(held) - size
    del held[:size]
    stream._read_buffer_size = rest
    if rest == 0:
        stream._maybe_add_error_listener()
    return 0


cdef int give_back(object protocol, object stream, bytes first) except -1:
    """Undo the read of the first bytes of a frame."""
    stream._read_buffer[:0] = first
    stream._read_buffer_size += len(first)
    protocol._wire_bytes_in -= len(first)
    return 0


cdef bint in_order(dict own, FrameHeader *header) except -1:
    """Whether the original would neither abort the connection for it, nor close it."""
    cdef object held = own["_fragmented_message_buffer"]
    cdef bint may_be_compressed = own["_decompressor"] is not None and header.opcode != 0
    cdef uint64_t before = 0
    if header.rsv & ~(RSV1 if may_be_compressed else 0):
        return False
    if held is not None:
        before = len(held)
    if header.payload_length + before > own["params"].max_message_size:
        return False
    if header.opcode & CONTROL_BIT:
        return header.fin and header.payload_length <= MAX_CONTROL
    return (held is None) == (header.opcode != CONTINUATION)


@cython.final
cdef class FrameReceiver:

    def __cinit__(self, module, streams):
        protocol = module.WebSocketProtocol13
        self._protocols = Methods(protocol, ("_read_bytes",), _PROTOCOL_FIELDS, -1)
        self._handling = Methods(protocol, ("_handle_message",), (), -1)
        self._streams = Methods(streams.BaseIOStream, _STREAM_METHODS, _STREAM_FIELDS, -1)
        self._globals = Globals(module, "_websocket_mask", "struct")

    cdef object stream_of(self, object protocol):
        cdef dict own = self._protocols.attributes(protocol)
        cdef dict fields
        if own is None or not self._globals.kept():
            return None
        stream = own.get("stream")
        fields = self._streams.attributes(stream)
        if fields is None or fields.get("_user_read_buffer") is not False:
            return None
        if fields.get("_read_future", stream) is not None:
            return None
        return stream if PyByteArray_CheckExact(fields.get("_read_buffer")) else None

    cdef bint open(
        self, object protocol, object stream, bytes first, FrameHeader *header
    ) except -1:
        cdef uint8_t head[LONGEST_HEADER]
        cdef bytearray held = stream._read_buffer
        cdef int before = <int>PyBytes_GET_SIZE(first)
        cdef int size = <int>min(LONGEST_HEADER - before, PyByteArray_GET_SIZE(held))
        cdef int used
        memcpy(head, PyBytes_AS_STRING(first), before)
        memcpy(head + before, PyByteArray_AS_STRING(held), size)
        used = parse_header(head, <size_t>(before + size), header)
        if used <= 0 or not in_order(protocol.__dict__, header):
            if before:
                give_back(protocol, stream, first)
            return False
        protocol._wire_bytes_in += used - before
        if used > before:
            consume(stream, used - before)
        return True

    cdef object take(
        self, object protocol, object stream, bytes data, FrameHeader *header
    ):
        cdef dict own = protocol.__dict__
        cdef Py_ssize_t size = <Py_ssize_t>header.payload_length
        cdef const uint8_t *payload
        if data is None:
            payload = <const uint8_t *>PyByteArray_AS_STRING(stream._read_buffer)
        else:
            payload = <const uint8_t *>PyBytes_AS_STRING(data)
        if own["_decompressor"] is not None and header.opcode != CONTINUATION:
            own["_frame_compressed"] = header.rsv != 0
        content = self._content(protocol, own, header, payload, data)
        own["_wire_bytes_in"] += size
        if data is None and size:
            consume(stream, size)
        return content

    cdef object _content(
        self, object protocol, dict own, FrameHeader *header, const uint8_t *payload, bytes data
    ):
        cdef Py_ssize_t size = <Py_ssize_t>header.payload_length
        if header.opcode == TEXT and header.fin and not own["_frame_compressed"]:
            if self._handling.attributes(protocol) is not None:
                text = message_from(TEXT, payload, size, header.masking_key)
                if text is not None:
                    return text
        if data is not None and not header.masked:
            return data
        return message_from(BINARY, payload, size, header.masking_key)

    cdef object _dispatch(
        self, object protocol, dict own, FrameHeader *header, object content
    ):
        opcode = header.opcode
        if opcode == CONTINUATION:
            own["_fragmented_message_buffer"].extend(content)
            if header.fin:
                opcode = own["_fragmented_message_opcode"]
                content = bytes(own["_fragmented_message_buffer"])
                own["_fragmented_message_buffer"] = None
        elif not header.fin:
            own["_fragmented_message_opcode"] = opcode
            own["_fragmented_message_buffer"] = bytearray(content)
        if not header.fin:
            return None
        if type(content) is bytes:
            return protocol._handle_message(opcode, content)
        if own["client_terminated"]:
            return None
        own["_message_bytes_in"] += <Py_ssize_t>header.payload_length
        return protocol._run_callback(own["handler"].on_message, content)


def make_receive_frame(original):
    """What takes the place of `WebSocketProtocol13._receive_frame`.

    Args:
        original: that function.

    Returns:
        a function of the same name and parameters.
    """
    from tornado import iostream, websocket

    cdef FrameReceiver frames = FrameReceiver(websocket, iostream)

    async def _receive_frame(self):
        cdef FrameHeader header
        cdef bytes first = b"", data = None
        stream = frames.stream_of(self)
        if stream is None:
            return await original(self)
        if stream._read_buffer_size < SHORTEST_HEADER:
            first = await stream.read_bytes(SHORTEST_HEADER)
            self._wire_bytes_in += SHORTEST_HEADER
        if not frames.open(self, stream, first, &header):
            return await original(self)
        if stream._read_buffer_size < header.payload_length:
            data = await stream.read_bytes(header.payload_length)
        content = frames.take(self, stream, data, &header)
        data = None
        handled = frames._dispatch(self, self.__dict__, &header, content)
        content = None
        if handled is not None:
            await handled

    return stand_in(_receive_frame, original)
