# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (a connection has a lock of its own, held here as the library holds it; nothing is pickled)
"""The messages of websockets' threaded connections: Connection.send.

As with asyncio, a message passes a context manager that is there for connections that are closing
or broken. Here the connection's lock is held, the frame is written to the socket, and that is all
there is to it as long as all is well.
"""

from wsfast.speedups.websockets_protocol cimport frame_of_message, leave_failure

from wsfast.speedups.methods import stand_in

__all__ = ["ThreadedConnections", "make_send"]


cdef int enter_and_leave(object context) except -1:
    context.__enter__()
    context.__exit__(None, None, None)
    return 0


cdef class ThreadedConnections:
    """websockets.sync as it is now; to be made before anything in it is replaced.

    Args:
        names: the library.
    """

    def __init__(self, Names names not None):
        from websockets.sync.connection import Connection

        self.names = names
        self.methods = Methods(
            Connection,
            ("send_context", "send_data"),
            ("protocol", "protocol_mutex", "socket", "send_in_progress", "close_deadline"),
            0,
        )

    cdef bint send(self, object connection, object message, object text) except -1:
        cdef dict own = self.methods.attributes(connection)
        cdef bint failed = False
        cdef bint sent
        if own is None or own.get("pending_legacy_warning"):
            return False
        mutex = own["protocol_mutex"]
        mutex.acquire()
        try:
            sent = self.send_locked(own, message, text, &failed)
        finally:
            mutex.release()
        if failed:
            enter_and_leave(connection.send_context())
        return sent

    cdef bint send_locked(
        self, dict own, object message, object text, bint *failed
    ) except -1:
        cdef bytes frame
        if own["send_in_progress"] is not False or own["close_deadline"] is not None:
            return False
        frame = frame_of_message(self.names, own["protocol"], message, text)
        if frame is None:
            return False
        try:
            own["socket"].sendall(frame)
        except Exception as error:
            leave_failure(own["protocol"], error)
            failed[0] = True
        return True


def make_send(original, ThreadedConnections connections not None):
    """Connection.send, compiled.

    Args:
        original: the library's own; it has got `text` only by keyword since 17.0.
        connections: the library.
    """

    def send(self, message, *, text=None):
        if not connections.send(self, message, text):
            original(self, message, text=text)

    def send_positional(self, message, text=None):
        if not connections.send(self, message, text):
            original(self, message, text)

    if "text" in (original.__kwdefaults__ or ()):
        return stand_in(send, original)
    return stand_in(send_positional, original)
