# autobahn's sending of messages at C level: WebSocketProtocol.sendMessage, sendFrame, sendData.
from libc.stdint cimport uint8_t, uint32_t

from wsfast.speedups.methods cimport Globals, Methods


# What one installation of them knows.
cdef class Sender:
    cdef dict _plans               # class of connections -> Methods
    cdef object _owner             # WebSocketProtocol
    cdef Methods _methods          # what it had at install
    cdef Globals _globals          # names of autobahn.websocket.protocol that are used here
    cdef object _module            # autobahn.websocket.protocol
    cdef object _open              # its STATE_OPEN
    cdef tuple _opening            # its STATE_CONNECTING and STATE_PROXY_CONNECTING
    cdef object _quiet             # a debug() of a log that was found to do nothing

    # The attributes of a connection that this may serve; else None.
    cdef dict _served(self, object protocol)

    # Whether the connection's log drops what is told to debug().
    cdef bint _is_quiet(self, object protocol) except -1

    # Whether nothing but one whole frame has to be sent: not queued, not logged.
    cdef bint _is_plain(self, object protocol, dict own) except -1

    # Whether frames are masked; -1 if so, but with payloads that stay as they are.
    cdef int _masks(self, object protocol, dict own) except -2

    # A masking key from where autobahn takes them.
    cdef uint32_t _next_key(self) except? 0

    # Build a frame and write it; the caller has asked _is_plain.
    cdef int _frame(
        self, object protocol, dict own, uint8_t first_byte, bytes payload, bint masked
    ) except -1

    # Write to the transport and count.
    cdef int _write(self, object protocol, dict own, object data) except -1
