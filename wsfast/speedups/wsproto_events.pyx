# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (one thread at a time per connection, as in wsproto; generators are not pickled either)
"""wsproto's Connection, receiving: from reads to events.

An event is a frozen dataclass; what its generated `__init__` does with one Python call for each
field, `object.__setattr__`, is done here without it.
"""

cimport cython
from cpython.object cimport PyObject_GenericSetAttr

from wsfast.speedups.wsproto_names cimport blank
from wsfast.speedups.wsproto_parser cimport END, feed

from wsfast.speedups.methods import stand_in

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
        cdef dict held
        if self.parser is None and self.source is None:
            held = self.names.connection.attributes(self.connection)
            if held is not None and held["_events"]:
                return held["_events"].popleft()
            if held is None or not self.find_parser(held["_proto"]):
                self.source = self.original(self.connection)
        if self.source is not None:
            return next(self.source, END)
        try:
            return self.event() if self.parser.step() else END
        except self.names.ParseFailed as error:
            self.done = True
            return self.names.CloseConnection(code=error.code, reason=str(error))

    cdef bint find_parser(self, object protocol) except -1:
        cdef dict held = self.names.protocol.attributes(protocol)
        cdef object found
        if held is None or not self.names.event_globals.kept():
            return False
        found = held["_parse_more"]
        if type(found) is not FrameParser or not (<FrameParser>found).is_plain(self.names):
            return False
        self.parser = found
        return True

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
        cdef EventIterator found = EventIterator.__new__(EventIterator)
        found.connection = self
        found.names = names
        found.original = original
        return found

    return stand_in(events, original)


def make_upgraded_events(original, Names names not None):
    """WSConnection.events, compiled: the connection's own, once the handshake is over.

    Args:
        original: the library's own.
        names: the library.
    """

    def events(self):
        cdef dict held = names.upgraded.attributes(self)
        cdef dict handshake
        if held is not None and type(held["connection"]) is names.Connection:
            handshake = names.handshake.attributes(held["handshake"])
            if handshake is not None and not handshake["_events"]:
                return held["connection"].events()
        return original(self)

    return stand_in(events, original)


def make_receive_data(original, Names names not None):
    """Connection.receive_data, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def receive_data(self, data):
        cdef dict held = names.connection.attributes(self)
        cdef object state
        if held is not None and data is not None:
            state = held["_state"]
            if state is names.OPEN or state is names.LOCAL_CLOSING:
                if feed(names, held["_proto"], data):
                    return None
        return original(self, data)

    return stand_in(receive_data, original)
