# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False
# (nothing here indexes by pointer; an asyncio connection belongs to the thread of its loop; what
# is awaited is no more to be pickled than the coroutine that it stands for)
"""The messages of websockets' asyncio connections: Assembler.get and put, and Connection.send.

A message that is sent passes an asynchronous context manager which is there for connections that
are closing or broken. One that has been received, and waits in the queue, is fetched by two
coroutines that never wait. Neither is needed as long as all is well.

 - `Connections.send` writes the frame of a message to the transport, if the connection is open
   and nothing else is to be done. What there is to be done after that, the library does.
 - `MessageGetter` is what Assembler.get returns while a whole message is in the queue. Nothing
   happens before it is awaited, and then only if the message is still there.
"""

from cpython.bytearray cimport PyByteArray_CheckExact
from cpython.bytes cimport PyBytes_CheckExact

from wsfast.speedups.websockets_frames cimport pass_on
from wsfast.speedups.websockets_protocol cimport frame_of_message, leave_failure

from collections import deque

from wsfast.speedups.methods import stand_in

__all__ = ["Connections", "MessageGetter", "make_get", "make_put"]

cdef enum:
    TEXT = 1
    BINARY = 2


cdef object payload_as_message(object data, bint decode):
    cdef bytes payload = data if PyBytes_CheckExact(data) else bytes(data)
    return payload.decode() if decode else payload


cdef bint is_message(Names names, object opcode, object data):
    """Whether a frame with FIN is a message."""
    if opcode is not names.opcodes[TEXT] and opcode is not names.opcodes[BINARY]:
        return False
    return PyBytes_CheckExact(data) or PyByteArray_CheckExact(data)


cdef class Connections:
    """websockets.asyncio as it is now; to be made before anything in it is replaced.

    Args:
        names: the library.
    """

    def __init__(self, Names names not None):
        from websockets.asyncio.connection import Connection
        from websockets.asyncio.messages import Assembler, SimpleQueue

        self.names = names
        self.SimpleQueue = SimpleQueue
        self.assembler = Methods(
            Assembler,
            ("maybe_resume", "maybe_pause"),
            ("frames", "closed", "get_in_progress", "low", "high", "paused"),
            0,
        )
        self.queue = Methods(SimpleQueue, ("get", "put"), ("queue", "get_waiter"), 3)
        used = Connection.send.__code__.co_names
        old, new = "fragmented_send_waiter", "send_in_progress"
        self.in_progress = old if old in used else new
        self.connection = Methods(
            Connection,
            ("send_context", "send_data", "drain"),
            ("protocol", "transport", "paused", self.in_progress),
            0,
        )

    cdef object ready_queue(self, object assembler):
        cdef dict own = self.assembler.attributes(assembler)
        cdef object frames, queue, frame
        if own is None or own["closed"] is not False or own["get_in_progress"] is not False:
            return None
        frames = own["frames"]
        if type(frames) is not self.SimpleQueue or self.queue.attributes(frames) is None:
            return None
        queue = frames.queue
        if type(queue) is not deque or not queue:
            return None
        frame = queue[0]
        if type(frame) is not self.names.Frame or frame.fin is not True:
            return None
        return queue if is_message(self.names, frame.opcode, frame.data) else None

    cdef bint put(self, object assembler, object frame) except -1:
        cdef dict own = self.assembler.attributes(assembler)
        cdef object frames, queue, waiter, high
        if own is None or own["closed"] is not False:
            return False
        frames = own["frames"]
        if type(frames) is not self.SimpleQueue or self.queue.attributes(frames) is None:
            return False
        queue = frames.queue
        queue.append(frame)
        waiter = frames.get_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        high = own["high"]
        if high is not None and own["paused"] is False and len(queue) > high:
            assembler.maybe_pause()
        return True

    def send(self, connection, message, text):
        """Send a message at once.

        Args:
            connection: an asyncio Connection.
            message, text: what its send() was called with.

        Returns:
            True: it is sent. False: the connection's send_context() has to be entered and left
            for it. None: nothing has been done.
        """
        cdef dict own = self.connection.attributes(connection)
        cdef bytes frame
        if own is None or own[self.in_progress] is not None:
            return None
        frame = frame_of_message(self.names, own["protocol"], message, text)
        if frame is None:
            return None
        transport = own["transport"]
        try:
            transport.write(frame)
        except Exception as error:
            leave_failure(own["protocol"], error)
            return False
        return own["paused"] is False and transport.is_closing() is False


cdef class MessageGetter:
    """Awaited once, as a coroutine."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """As of a coroutine."""
        if self.coroutine is None:
            return self.start()
        return self.coroutine.send(value)

    def throw(self, typ, val=None, tb=None):
        """As of a coroutine."""
        if self.coroutine is not None:
            return pass_on(self.coroutine, typ, val, tb)
        self.finished = True
        error = typ if val is None else val
        raise error if tb is None else error.with_traceback(tb)

    def close(self):
        """As of a coroutine."""
        self.finished = True
        if self.coroutine is not None:
            self.coroutine.close()

    cdef object start(self):
        cdef object queue, frame, decode
        if self.finished:
            raise RuntimeError("cannot reuse already awaited coroutine")
        queue = self.connections.ready_queue(self.assembler)
        if queue is None:
            self.coroutine = self.original(self.assembler, self.decode)
            return self.coroutine.send(None)
        self.finished = True
        frame = queue.popleft()
        if self.assembler.paused:
            self.assembler.maybe_resume()
        decode = self.decode
        if decode is None:
            decode = frame.opcode is self.connections.names.opcodes[TEXT]
        raise StopIteration(payload_as_message(frame.data, decode))


def make_get(original, Connections connections not None):
    """Assembler.get, compiled.

    Args:
        original: the library's own, a coroutine function.
        connections: the library.
    """

    def get(self, decode=None):
        cdef MessageGetter getter
        if connections.ready_queue(self) is None:
            return original(self, decode)
        getter = MessageGetter.__new__(MessageGetter)
        getter.connections = connections
        getter.original = original
        getter.assembler = self
        getter.decode = decode
        return getter

    return stand_in(get, original)


def make_put(original, Connections connections not None):
    """Assembler.put, compiled.

    Args:
        original: the library's own.
        connections: the library.
    """

    def put(self, frame):
        if not connections.put(self, frame):
            original(self, frame)

    return stand_in(put, original)
