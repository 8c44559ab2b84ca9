# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (written once, while the slots are filled, and read after that; nothing here is pickled)
"""wsproto's own classes, enum members and habits, looked up once for the compiled replacements.

The habits are asked of the library itself, while it is still the original: which type a payload
has changed in 1.3.0, and which one a BytesMessage holds once more in 1.3.2.
"""

cimport cython
from cpython.ref cimport PyObject

from codecs import getincrementaldecoder

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_new)(PyTypeObject *cls, PyObject *arguments, PyObject *keywords)
    PyTypeObject PyTuple_Type

__all__ = ["Names"]

cdef tuple NO_ARGUMENTS = ()
cdef bytes UNMASKED = b"\x82\x01x"     # one whole binary frame, as a server sends it

#: By class: the methods that originals call on an object, what they keep in it, and how much.
cdef dict METHODS = {
    "FrameDecoder": (
        (
            "receive_bytes",
            "process_buffer",
            "parse_header",
            "parse_extended_payload_length",
            "extension_processing",
        ),
        (
            "client",
            "extensions",
            "buffer",
            "header",
            "effective_opcode",
            "masker",
            "payload_required",
            "payload_consumed",
        ),
        8,
    ),
    "MessageDecoder": (("process_frame",), ("opcode", "decoder"), 2),
    "FrameProtocol": (
        (
            "receive_bytes",
            "received_frames",
            "send_data",
            "ping",
            "pong",
            "_serialize_frame",
            "_make_fin_rsv_opcode",
        ),
        (
            "client",
            "extensions",
            "_frame_decoder",
            "_message_decoder",
            "_parse_more",
            "_outbound_opcode",
        ),
        6,
    ),
    "Connection": (
        ("send", "receive_data", "events", "state"),
        ("client", "_events", "_proto", "_state"),
        4,
    ),
    "WSConnection": (("events",), ("client", "handshake", "connection"), 3),
    "H11Handshake": (("events",), ("_events",), 0),
    "PerMessageDeflate": (
        (
            "frame_inbound_header",
            "frame_inbound_payload_data",
            "frame_inbound_complete",
            "frame_outbound",
            "_compressible_opcode",
            "client_max_window_bits",
            "server_max_window_bits",
        ),
        (
            "_client_max_window_bits",
            "_server_max_window_bits",
            "client_no_context_takeover",
            "server_no_context_takeover",
            "_compressor",
            "_decompressor",
            "_inbound_is_compressible",
            "_inbound_compressed",
        ),
        9,
    ),
}


cdef object named(object cls, tuple items):
    cdef tuple arguments = (items,)
    return PyTuple_Type.tp_new(<PyTypeObject *>cls, <PyObject *>arguments, NULL)


cdef object blank(object cls):
    return (<PyTypeObject *>cls).tp_new(<PyTypeObject *>cls, <PyObject *>NO_ARGUMENTS, NULL)


cdef object new_frame(
    Names names, object opcode, object payload, bint frame_finished, bint message_finished
):
    return named(names.Frame, (opcode, payload, frame_finished, message_finished))


cdef Methods methods_of(object cls):
    return Methods(cls, *METHODS[cls.__name__])


@cython.final
cdef class Names:
    """The library as it is now; to be made before anything in it is replaced."""

    def __cinit__(self):
        from wsproto import WSConnection, connection, events, extensions, frame_protocol, handshake

        self.frame_protocol = frame_protocol.__dict__
        self.extensions = extensions.__dict__
        self.keys = KeySource(frame_protocol.os, "urandom")
        self.Utf8Decoder = getincrementaldecoder("utf-8")
        self.enter_frames(frame_protocol)
        self.enter_events(events)
        self.enter_methods(frame_protocol, connection)
        self.upgraded = methods_of(WSConnection)
        self.handshake = methods_of(handshake.H11Handshake)
        self.deflate = methods_of(extensions.PerMessageDeflate)
        self.Connection = connection.Connection
        self.OPEN = connection.ConnectionState.OPEN
        self.LOCAL_CLOSING = connection.ConnectionState.LOCAL_CLOSING
        self.REMOTE_CLOSING = connection.ConnectionState.REMOTE_CLOSING
        self.CLOSED = connection.ConnectionState.CLOSED
        self.learn_habits(connection.ConnectionType.CLIENT)

    cdef int enter_frames(self, module) except -1:
        self.Frame = module.Frame
        self.Header = module.Header
        self.RsvBits = module.RsvBits
        self.ParseFailed = module.ParseFailed
        self.CloseReason = module.CloseReason
        self.Buffer = module.Buffer
        self.Opcode = module.Opcode
        members = {int(each): each for each in module.Opcode}
        self.opcodes = tuple([members.get(number) for number in range(16)])
        self.CONTINUATION = module.Opcode.CONTINUATION
        self.TEXT = module.Opcode.TEXT
        self.BINARY = module.Opcode.BINARY
        self.CLOSE = module.Opcode.CLOSE
        self.rsv_bits = tuple(
            [named(module.RsvBits, (n & 4 != 0, n & 2 != 0, n & 1 != 0)) for n in range(8)]
        )
        return 0

    cdef int enter_events(self, module) except -1:
        self.Message = module.Message
        self.TextMessage = module.TextMessage
        self.BytesMessage = module.BytesMessage
        self.Ping = module.Ping
        self.Pong = module.Pong
        self.CloseConnection = module.CloseConnection
        return 0

    cdef int enter_methods(self, module, connection) except -1:
        self.decoder = methods_of(module.FrameDecoder)
        self.messages = methods_of(module.MessageDecoder)
        self.protocol = methods_of(module.FrameProtocol)
        self.connection = methods_of(connection.Connection)
        self.frame_globals = Globals(module, "os", "Frame", "XorMaskerSimple", "XorMaskerNull")
        self.event_globals = Globals(
            connection, "TextMessage", "BytesMessage", "Ping", "Pong", "CloseConnection"
        )
        return 0

    cdef int learn_habits(self, client) except -1:
        connection = self.Connection(client, trailing_data=UNMASKED)
        decoder = connection._proto._frame_decoder
        payload = decoder.process_buffer().payload
        decoder.receive_bytes(UNMASKED)
        (event,) = connection.events()
        self.loose = type(payload) is not bytes
        self.copied = not self.loose and type(event.data) is not bytes
        return 0
