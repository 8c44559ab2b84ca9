# Frames of aiohttp's WebSocketWriter.
from libc.stdint cimport uint32_t

from wsfast.speedups.methods cimport Globals


# FIN, RSV and opcode as they travel; -1 if that is no byte, or one of the numbers no integer.
cdef int first_byte_of(object opcode, object rsv) noexcept


# What writes frames in place of WebSocketWriter._write_websocket_frame.
cdef class FrameWriter:
    cdef object _original          # the function that is replaced
    cdef object _pack_key          # aiohttp's PACK_RANDBITS: a number as 4 bytes
    cdef object _closing_error     # the class of what is raised on a closing transport
    cdef Globals _globals          # what the original calls by name
    cdef Py_ssize_t _large         # longer payloads are not copied behind their header

    # What the original does, at once where it can be done so.
    cdef object write(self, object writer, object message, object opcode, object rsv)

    # The key from the writer's own source, as memcpy from the frame leaves it.
    cdef int _take_key(self, object writer, uint32_t *key) except -1

