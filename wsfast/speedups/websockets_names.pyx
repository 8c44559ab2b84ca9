# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (written once, while the slots are filled, and read after that; nothing here is pickled)
"""websockets' own classes and enum members, and the hooks that its compiled replacements honour.

A replacement does at once what the library does in several calls of its own methods. Where a
subclass, an application or a test has replaced one of these, the library's own code runs.
"""

cimport cython
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE

__all__ = ["Names"]

cdef tuple PROTOCOL_FIELDS = (
    "reader", "parser", "debug", "side", "extensions", "events", "writes", "_state",
    "state", "expect_continuation_frame",
)
cdef tuple MESSAGE_METHODS = (
    "send_text", "send_binary", "send_frame", "data_to_send", "close_expected",
)
cdef tuple DEFLATE_FIELDS = (
    "encoder", "decoder", "decode_cont_data", "local_no_context_takeover",
    "remote_no_context_takeover",
)


@cython.final
cdef class Names:
    """The library as it is now; to be made before anything in it is replaced.

    Args:
        deflate: the class PerMessageDeflate, if its methods are as they were tested; else None.
    """

    def __init__(self, deflate):
        import secrets
        import struct

        from websockets import exceptions, frames, protocol, streams

        self.Frame = frames.Frame
        self.Opcode = frames.Opcode
        members = {int(each): each for each in frames.Opcode}
        self.opcodes = tuple([members.get(number) for number in range(16)])
        self.PayloadTooBig = exceptions.PayloadTooBig
        self.ProtocolError = exceptions.ProtocolError
        self.StreamReader = streams.StreamReader
        self.SERVER = protocol.SERVER
        self.CLIENT = protocol.CLIENT
        self.OPEN = protocol.OPEN
        self.PerMessageDeflate = deflate
        self.parse_name = protocol.Protocol.parse.__qualname__
        self.at_eof_name = streams.StreamReader.at_eof.__qualname__
        self.read_exact = vars(streams.StreamReader)["read_exact"]
        self.keys = KeySource(secrets, "token_bytes")
        self.struct = Globals(struct, "unpack")
        self.frames = Globals(frames, "apply_mask", "secrets", "struct")
        self.protocol = Globals(protocol, "Frame")
        self.learn_protocol(protocol)
        self.learn_methods(frames.Frame, streams.StreamReader, deflate)

    cdef int learn_protocol(self, module) except -1:
        fresh = vars(module.Protocol(module.SERVER))
        self.has_fragment_limit = "max_fragment_size" in fresh
        self.current_size = "current_size" if "current_size" in fresh else "cur_size"
        limits = ("max_message_size", "max_fragment_size")
        fields = (*PROTOCOL_FIELDS, *(limits if self.has_fragment_limit else ("max_size",)))
        fields = (*fields, self.current_size)
        self.receiving = Methods(module.Protocol, ("recv_frame",), fields, len(fresh))
        self.sending = Methods(module.Protocol, ("send_frame",), fields, len(fresh))
        self.messages = Methods(module.Protocol, MESSAGE_METHODS, fields, len(fresh))
        return 0

    cdef int learn_methods(self, frame, reader, deflate) except -1:
        self.frame = Methods(frame, ("parse", "serialize", "check", "__init__"), (), 0)
        names = ("feed_data", "at_eof", "read_exact")
        self.reader = Methods(reader, names, ("buffer", "eof"), 2)
        self.deflate = None
        if deflate is not None:
            self.deflate = Methods(deflate, ("decode", "encode"), DEFLATE_FIELDS, 0)
        return 0

    cdef bint can_parse(self) except -1:
        return self.can_build() and self.struct.kept()

    cdef bint can_build(self) except -1:
        return self.frame.kept(self.Frame) and self.frames.kept()

    cdef object extension_in(self, object extensions, bint *mine):
        cdef object found = None
        cdef Py_ssize_t count
        mine[0] = False
        if not PyList_CheckExact(extensions):
            return None
        count = PyList_GET_SIZE(extensions)
        if count == 1:
            found = (<list>extensions)[0]
            if type(found) is not self.PerMessageDeflate:
                return None
            mine[0] = self.deflate.attributes(found) is not None
        else:
            mine[0] = count == 0
        return found
