# Messages of websockets' threaded connections, to the socket.
from wsfast.speedups.methods cimport Methods
from wsfast.speedups.websockets_names cimport Names


# The Connection of websockets.sync, and what is watched of it, as of one install.
cdef class ThreadedConnections:
    cdef Names names
    cdef Methods methods           # what send() calls on a Connection

    # Whether a message was sent. False: nothing has been done.
    cdef bint send(self, object connection, object message, object text) except -1

    # The same, by the holder of the connection's lock; `failed` is set to whether the socket
    # raised an error, which waits for the library to write.
    cdef bint send_locked(
        self, dict own, object message, object text, bint *failed
    ) except -1
