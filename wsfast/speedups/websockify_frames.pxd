# websockify's frames: what its WebSocket class does with bytes.
from wsfast.speedups.methods cimport Methods


# What frames are read with, looked up in the library once.
cdef class Frames:
    cdef Methods decoding          # of WebSocket: what _decode_hybi calls
    cdef Methods receiving         # and what _recv_frames calls
    cdef Methods plain_socket      # of socket.socket: recv
    cdef type socket               # that class
    cdef object want_read          # WebSocketWantReadError

    # _recv: False at the end of the connection.
    cdef bint receive(self, object connection, dict own) except -1


# The frame at an offset, as _decode_hybi describes it; None while it has not arrived. *missing is
# how many bytes it needs at least.
cdef dict decode_at(bytes data, Py_ssize_t offset, Py_ssize_t *missing)
