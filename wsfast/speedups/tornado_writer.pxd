# Frames that Tornado's WebSocketProtocol13 writes.
from wsfast.speedups.keys cimport KeySource
from wsfast.speedups.methods cimport Globals


# What builds frames in place of WebSocketProtocol13._write_frame.
cdef class FrameWriter:
    cdef object _original          # the function that is replaced
    cdef KeySource _keys           # of os.urandom, in batches
    cdef Globals _source           # os.urandom itself: whoever replaces it decides the keys
    cdef Globals _globals          # what the original calls by name

    # What the original does, at once where it can be done so.
    cdef object write(self, object protocol, object fin, object opcode, object data, object flags)
