# eventlet's frames at C level: built from messages.
from wsfast.speedups.methods cimport Globals, Methods


# What one installation knows of the library.
cdef class Packer:
    cdef Methods _methods          # of RFC6455WebSocket, that are not called here
    cdef Globals _globals          # names of eventlet.websocket that are used here

    # A message as _pack_message packs it; None if that has to.
    cdef bytes _packed(
        self, object websocket, object message, bint masked, object continuation, object final,
        object control_code
    )
