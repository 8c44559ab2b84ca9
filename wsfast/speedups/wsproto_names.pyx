# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (written once, while the slots are filled, and read after that; nothing here is pickled)
"""wsproto's own classes, enum members and habits, looked up once for the compiled replacements.

The habits are asked of the library itself, while it is still the original: which type a payload
has changed in 1.3.0, and which one a BytesMessage holds once more in 1.3.2.
"""

cimport cython
from cpython.dict cimport PyDict_GetItem
from cpython.method cimport PyMethod_Check, PyMethod_GET_FUNCTION
from cpython.ref cimport PyObject

from codecs import getincrementaldecoder
from functools import update_wrapper

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_new)(PyTypeObject *cls, PyObject *arguments, PyObject *keywords)
        PyObject *tp_dict
    PyTypeObject PyTuple_Type

__all__ = ["Names"]

cdef tuple NOTHING = ()

cdef str PARSE_HEADER = "parse_header"
cdef str PARSE_LENGTH = "parse_extended_payload_length"
cdef str PROCESS_EXTENSIONS = "extension_processing"
cdef str MAKE_FIRST_BYTE = "_make_fin_rsv_opcode"
cdef str IS_COMPRESSIBLE = "_compressible_opcode"
cdef str INBOUND_HEADER = "frame_inbound_header"
cdef str INBOUND_PAYLOAD = "frame_inbound_payload_data"
cdef str INBOUND_COMPLETE = "frame_inbound_complete"

cdef bytes UNMASKED = b"\x82\x01x"     # one whole binary frame, as a server sends it


cdef bint reaches(object owner, object name, object function) except -1:
    cdef object method = getattr(owner, name)
    return PyMethod_Check(method) and <void *>PyMethod_GET_FUNCTION(method) == <void *>function


cdef object named(object cls, tuple items):
    cdef tuple arguments = (items,)
    return PyTuple_Type.tp_new(<PyTypeObject *>cls, <PyObject *>arguments, NULL)


cdef object blank(object cls):
    return (<PyTypeObject *>cls).tp_new(<PyTypeObject *>cls, <PyObject *>NOTHING, NULL)


cdef object new_frame(
    Names names, object opcode, object payload, bint frame_finished, bint message_finished
):
    return named(names.Frame, (opcode, payload, frame_finished, message_finished))


cdef object dressed(object ours, object original):
    return update_wrapper(ours, original)


cdef dict namespace_of(object cls):
    """The dictionary itself, so that what is asked of it is asked of the class as it is."""
    return <dict>(<PyTypeObject *>cls).tp_dict


@cython.final
cdef class Names:
    """The library as it is now; to be made before anything in it is replaced."""

    def __cinit__(self):
        from wsproto import WSConnection, connection, events, extensions, frame_protocol, handshake

        self.frame_protocol = frame_protocol.__dict__
        self.os = frame_protocol.os
        self.keys = KeySource(self.os, "urandom")
        self.Utf8Decoder = getincrementaldecoder("utf-8")
        self.enter_frames(frame_protocol)
        self.extensions = extensions.__dict__
        self.PerMessageDeflate = extensions.PerMessageDeflate
        self.deflate_namespace = namespace_of(extensions.PerMessageDeflate)
        self.is_compressible = self.deflate_namespace[IS_COMPRESSIBLE]
        self.enter_events(events)
        self.WSConnection = WSConnection
        self.Handshake = handshake.H11Handshake
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
        self.FrameDecoder = module.FrameDecoder
        self.MessageDecoder = module.MessageDecoder
        self.FrameProtocol = module.FrameProtocol
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
        self.decoder_namespace = namespace_of(module.FrameDecoder)
        self.protocol_namespace = namespace_of(module.FrameProtocol)
        self.parse_header = self.decoder_namespace[PARSE_HEADER]
        self.parse_length = self.decoder_namespace[PARSE_LENGTH]
        self.process_extensions = self.decoder_namespace[PROCESS_EXTENSIONS]
        self.ping = self.protocol_namespace["ping"]
        self.pong = self.protocol_namespace["pong"]
        self.make_first_byte = self.protocol_namespace[MAKE_FIRST_BYTE]
        return 0

    cdef int enter_events(self, module) except -1:
        self.Message = module.Message
        self.TextMessage = module.TextMessage
        self.BytesMessage = module.BytesMessage
        self.Ping = module.Ping
        self.Pong = module.Pong
        self.CloseConnection = module.CloseConnection
        return 0

    cdef int learn_habits(self, client) except -1:
        connection = self.Connection(client, trailing_data=UNMASKED)
        (event,) = connection.events()
        decoder = self.FrameDecoder(True)
        decoder.receive_bytes(UNMASKED)
        self.loose = type(decoder.process_buffer().payload) is not bytes
        self.copied = not self.loose and type(event.data) is not bytes
        return 0

    cdef bint has_own_helpers(self) except -1:
        cdef dict found = self.decoder_namespace
        return (
            <void *>PyDict_GetItem(found, PARSE_HEADER) == <void *>self.parse_header
            and <void *>PyDict_GetItem(found, PARSE_LENGTH) == <void *>self.parse_length
            and <void *>PyDict_GetItem(found, PROCESS_EXTENSIONS)
            == <void *>self.process_extensions
        )

    cdef bint has_own_source(self) except -1:
        return (
            <void *>PyDict_GetItem(self.frame_protocol, "os") == <void *>self.os
            and <void *>PyDict_GetItem(self.protocol_namespace, MAKE_FIRST_BYTE)
            == <void *>self.make_first_byte
        )

    cdef bint is_own_deflate(self, object extension) except -1:
        return (
            type(extension) is self.PerMessageDeflate
            and <void *>PyDict_GetItem(self.deflate_namespace, IS_COMPRESSIBLE)
            == <void *>self.is_compressible
        )

    cdef bint is_all_deflate(self, object extensions) except -1:
        cdef dict found = self.deflate_namespace
        return (
            type(extensions) is list
            and len(<list>extensions) == 1
            and self.is_own_deflate((<list>extensions)[0])
            and <void *>PyDict_GetItem(found, INBOUND_HEADER) == <void *>self.inbound_header
            and <void *>PyDict_GetItem(found, INBOUND_PAYLOAD) == <void *>self.inbound_payload
            and <void *>PyDict_GetItem(found, INBOUND_COMPLETE) == <void *>self.inbound_complete
        )
