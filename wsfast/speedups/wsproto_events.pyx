# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (one thread at a time per connection, as in wsproto; generators are not pickled either)
"""wsproto's Connection, receiving: from reads to events.

An event is a frozen dataclass; what its generated `__init__` does with one Python call for each
field, `object.__setattr__`, is done here without it.
"""

cimport cython
from cpython.object cimport PyObject_GenericSetAttr

from wsfast.speedups.wsproto_names cimport blank, dressed, reaches
from wsfast.speedups.wsproto_parser cimport END

__all__ = ["EventIterator", "make_events", "make_receive_data", "make_upgraded_events"]

cdef enum:
    TEXT = 1
    BINARY = 2
    PING = 9
    PONG = 10


cdef object message_event(object cls, object data, bint frame_finished, bint message_finished):
    cdef object event = blank(cls)
    PyObject_GenericSetAttr(event, "data", data)
    PyObject_GenericSetAttr(event, "frame_finished", frame_finished)
    PyObject_GenericSetAttr(event, "message_finished", message_finished)
    return event


cdef object payload_event(object cls, object payload):
    cdef object event = blank(cls)
    PyObject_GenericSetAttr(event, "payload", payload)
    return event


@cython.final
cdef class EventIterator(Lazy):
    """The events of what was received so far."""

    cdef object advance(self):
        cdef object queued
        if self.parser is None and self.source is None:
            queued = self.connection._events
            if queued:
                return queued.popleft()
            self.choose_source()
        if self.source is not None:
            return next(self.source, END)
        try:
            return self.event() if self.parser.step() else END
        except self.names.ParseFailed as error:
            self.done = True
            return self.names.CloseConnection(code=error.code, reason=str(error))

    cdef int choose_source(self) except -1:
        cdef object protocol = self.connection._proto
        cdef object found
        if type(protocol) is self.names.FrameProtocol and reaches(
            protocol, "received_frames", self.names.received_frames
        ):
            found = protocol._parse_more
            if type(found) is FrameParser and (<FrameParser>found).is_plain(self.names):
                self.parser = found
                return 0
        self.source = self.original(self.connection)
        return 0

    cdef object event(self):
        cdef FrameParser frame = self.parser
        cdef Names names = self.names
        cdef object payload = frame.claim()
        if frame.opcode == TEXT:
            cls = names.TextMessage
        elif frame.opcode == BINARY:
            cls = names.BytesMessage
            if names.copied:
                payload = bytearray(payload)
        elif frame.opcode == PING:
            return payload_event(names.Ping, payload)
        elif frame.opcode == PONG:
            return payload_event(names.Pong, payload)
        else:
            return self.close_event(payload)
        return message_event(cls, payload, frame.frame_finished, frame.message_finished)

    cdef object close_event(self, object payload):
        code, reason = payload
        closing = self.connection.state is self.names.LOCAL_CLOSING
        self.connection._state = self.names.CLOSED if closing else self.names.REMOTE_CLOSING
        return self.names.CloseConnection(code=code, reason=reason)


def make_events(original, Names names not None):
    """Connection.events, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def events(self):
        cdef EventIterator found
        if type(self) is not names.Connection:
            return original(self)
        found = EventIterator.__new__(EventIterator)
        found.connection = self
        found.names = names
        found.original = original
        return found

    return dressed(events, original)


def make_upgraded_events(original, Names names not None):
    """WSConnection.events, compiled: the connection's own, once the handshake is over.

    Args:
        original: the library's own.
        names: the library.
    """

    def events(self):
        cdef object connection, handshake
        if type(self) is names.WSConnection:
            connection = self.connection
            handshake = self.handshake
            if (
                type(connection) is names.Connection
                and type(handshake) is names.Handshake
                and not handshake._events
            ):
                return connection.events()
        return original(self)

    return dressed(events, original)


def make_receive_data(original, Names names not None):
    """Connection.receive_data, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def receive_data(self, data):
        cdef object state
        if type(self) is names.Connection and data is not None:
            state = self._state
            if state is names.OPEN or state is names.LOCAL_CLOSING:
                self._proto.receive_bytes(data)
                return
        return original(self, data)

    return dressed(receive_data, original)
