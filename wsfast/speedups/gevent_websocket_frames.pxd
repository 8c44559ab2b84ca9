# gevent-websocket's reading of frames and messages at C level.
from libc.stdint cimport uint64_t

from wsfast.speedups.methods cimport Globals, Methods
from wsfast.speedups.validator cimport Utf8Validator


# What one installation knows of the library.
cdef class Reader:
    cdef object _header            # its class Header
    cdef object _socket            # its class WebSocket
    cdef object _failed            # its WebSocketError
    cdef object _violated          # its ProtocolError
    cdef object _too_large         # its FrameTooLargeException
    cdef Globals _globals          # names of geventwebsocket.websocket that are used here
    cdef Methods _headers          # methods of Header that are not called here
    cdef Methods _sockets          # the same of WebSocket, for read_message

    # Exactly that many bytes of a header, or WebSocketError.
    cdef object _take(self, object read, Py_ssize_t size)

    # A new Header, read from a stream, as Header.decode_header reads it.
    cdef object _read_header(self, object stream)

    # The length of the payload that the second byte of a header announces.
    cdef object _length(self, object read, int announced)

    # What WebSocket.read_frame returns.
    cdef tuple _read_frame(self, object websocket)

    # Whether nobody has overridden what read_message calls on that WebSocket.
    cdef bint _serves(self, object websocket) except -1

    # What WebSocket.read_message returns.
    cdef object _read_message(self, object websocket)

    # What a control frame leads to; True if it was the last of the connection.
    cdef bint _control(self, object websocket, object header, object payload) except -1
