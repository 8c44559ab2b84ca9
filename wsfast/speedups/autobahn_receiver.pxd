# autobahn's WebSocketProtocol.processData at C level.
from wsfast.frame cimport FrameHeader
from wsfast.speedups.methods cimport Globals, Methods


# What one installation of it knows.
cdef class Receiver:
    cdef object _original          # autobahn's own processData
    cdef object _plan_for          # class -> Methods, or None if it is no class of autobahn's
    cdef dict _plans               # what that has said, by class
    cdef Globals _globals          # names of autobahn.websocket.protocol that are used here
    cdef object _module            # autobahn.websocket.protocol
    cdef object _open              # its STATE_OPEN

    # What processData returns.
    cdef object process(self, object protocol)

    # The attributes of a connection that this may serve; else None.
    cdef dict _served(self, object protocol)

    # Whether the rules of the connection let such a frame pass, and nothing is to be told of it.
    cdef bint _expected(self, object protocol, dict own, const FrameHeader *header) except -1

    # The payload of the frame, unmasked; None if it is text and not valid.
    cdef bytes _payload(
        self, object protocol, dict own, bytes data, int used, const FrameHeader *header
    )

    # Leave the attributes as onFrameBegin, onFrameData and what they call leave them.
    cdef int _keep(
        self, object protocol, dict own, const FrameHeader *header, object mask, bytes payload
    ) except -1

    # What onFrameEnd does; for the last frame of a message it calls the application.
    cdef int _finish(self, object protocol, dict own, bint fin) except -1
