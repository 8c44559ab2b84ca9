# cython: language_level=3, freethreading_compatible=True
# (one thread at a time per connection, as in wsproto; bytearrays are locked while they are read)
"""wsproto's FrameProtocol and Connection, sending: a frame in one piece, masked as it is written.

Masking keys come from the pool of wsfast.frame, as long as the `os.urandom` that the library
asks for each key is what it was.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from wsfast.frame cimport write_header
from wsfast.mask cimport mask_copy

from wsfast.speedups.methods import stand_in

cdef extern from "Python.h":
    object PyByteArray_FromStringAndSize(const char *data, Py_ssize_t size)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

__all__ = ["make_send", "make_send_data", "make_serialize_frame"]

cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    PING = 9
    PONG = 10
    CONTROL = 8           # a bit of every control frame's opcode
    FIN = 0x80
    MAX_CONTROL = 125


cdef class Replay:
    """A FrameProtocol whose only extension answers what the real ones have answered."""

    cdef readonly object client, extensions, _make_fin_rsv_opcode
    cdef object answer

    def __cinit__(self, protocol, answer):
        self.client = protocol.client
        self.extensions = (self,)
        self._make_fin_rsv_opcode = protocol._make_fin_rsv_opcode
        self.answer = answer

    def frame_outbound(self, *arguments):
        """The answer, to whatever question."""
        return self.answer


cdef object built(
    Names names, dict held, int first_byte, const uint8_t *data, Py_ssize_t size, bint as_bytes
):
    cdef uint8_t header[14]
    cdef uint32_t key = 0
    cdef bint masked = held["client"]
    cdef object frame
    cdef uint8_t *target
    cdef int used
    if masked:
        names.keys.take(&key)
    used = write_header(header, <uint8_t>first_byte, <size_t>size, masked, key)
    if as_bytes:
        frame = PyBytes_FromStringAndSize(NULL, used + size)
        target = <uint8_t *>PyBytes_AS_STRING(frame)
    else:
        frame = PyByteArray_FromStringAndSize(NULL, used + size)
        target = <uint8_t *>PyByteArray_AS_STRING(frame)
    memcpy(target, header, used)
    mask_copy(target + used, data, <size_t>size, key)
    return frame


cdef object built_from(
    Names names, dict held, int first_byte, object payload, bint as_bytes
):
    """None if it is no control frame any more."""
    cdef Py_buffer view
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        if first_byte & CONTROL and view.len > MAX_CONTROL:
            return None
        return built(names, held, first_byte, <const uint8_t *>view.buf, view.len, as_bytes)
    finally:
        PyBuffer_Release(&view)


cdef bint is_plain(object payload) except -1:
    """Whether it is bytes, and all that the library does with it is copy it."""
    if type(payload) is bytes or type(payload) is bytearray:
        return True
    if type(payload) is not memoryview:
        return False
    try:
        return payload.itemsize == 1 and payload.ndim == 1 and payload.c_contiguous
    except ValueError:  # it is released
        return False


cdef object serialized(
    Names names, object protocol, int opcode, object payload, bint fin, bint as_bytes
):
    cdef dict held = names.protocol.attributes(protocol)
    if held is None or not names.frame_globals.kept() or not is_plain(payload):
        return None
    if held["extensions"]:
        return extended(names, protocol, held, opcode, payload, fin, as_bytes)
    return built_from(names, held, opcode | (FIN if fin else 0), payload, as_bytes)


cdef int rsv_number(tuple rsv) noexcept:
    """RSV1 is 4, RSV2 is 2, RSV3 is 1; -1 if one of them is no bool."""
    cdef int number = 0
    cdef object bit
    for bit in rsv:
        if bit is not True and bit is not False:
            return -1
        number = number << 1 | (bit is True)
    return number


cdef object extended(
    Names names,
    object protocol,
    dict held,
    int opcode,
    object payload,
    bint fin,
    bint as_bytes,
):
    """Through the extensions, the last one first."""
    cdef object member = names.opcodes[opcode]
    cdef object rsv = names.rsv_bits[0]
    cdef object frame = None
    cdef int first_byte = opcode | (FIN if fin else 0)
    cdef int bits
    for extension in reversed(held["extensions"]):
        if not names.loose and type(payload) is not bytes:
            payload = bytes(payload)
        answer = extension.frame_outbound(protocol, member, rsv, payload, fin)
        try:
            rsv, payload = answer
        except (TypeError, ValueError):  # the original says it in its own words
            return names.serialize_frame(Replay(protocol, answer), member, b"", fin)
    bits = -1 if type(rsv) is not names.RsvBits else rsv_number(<tuple>rsv)
    if bits >= 0 and (type(payload) is bytes or type(payload) is bytearray):
        frame = built_from(names, held, first_byte | bits << 4, payload, as_bytes)
    if frame is None:
        answered = Replay(protocol, (rsv, payload))
        frame = names.serialize_frame(answered, member, b"", fin)
    return bytes(frame) if as_bytes else frame


cdef object sent(Names names, object protocol, object payload, object fin, bint as_bytes):
    cdef dict held = names.protocol.attributes(protocol)
    cdef bint is_text = type(payload) is str
    cdef object wanted = names.TEXT if is_text else names.BINARY
    cdef object current
    cdef int opcode = CONTINUATION
    if held is None or not names.frame_globals.kept():
        return None
    current = held["_outbound_opcode"]
    if type(fin) is not bool or not (is_text or is_plain(payload)):
        return None
    if current is None:
        opcode = TEXT if is_text else BINARY
    elif current is not wanted:
        return None
    if is_text and not PyUnicode_IS_COMPACT_ASCII(payload):
        payload = PyUnicode_AsUTF8String(payload)
        is_text = False
    if fin:
        if current is not None:
            held["_outbound_opcode"] = None
    elif current is None:
        held["_outbound_opcode"] = wanted
    if held["extensions"]:
        payload = payload.encode() if is_text else payload
        return extended(names, protocol, held, opcode, payload, fin, as_bytes)
    opcode |= FIN if fin else 0
    if not is_text:
        return built_from(names, held, opcode, payload, as_bytes)
    return built(
        names,
        held,
        opcode,
        <const uint8_t *>PyUnicode_DATA(payload),
        PyUnicode_GET_LENGTH(payload),
        as_bytes,
    )


def make_serialize_frame(original, Names names not None):
    """FrameProtocol._serialize_frame, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def _serialize_frame(self, opcode, payload=b"", fin=True):
        cdef object frame = None
        if type(opcode) is names.Opcode and type(fin) is bool:
            frame = serialized(names, self, opcode, payload, fin, False)
        return original(self, opcode, payload, fin) if frame is None else frame

    names.serialize_frame = original
    return stand_in(_serialize_frame, original)


def make_send_data(original, Names names not None):
    """FrameProtocol.send_data, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def send_data(self, payload=b"", fin=True):
        cdef object frame = sent(names, self, payload, fin, False)
        return original(self, payload, fin) if frame is None else frame

    return stand_in(send_data, original)


def make_send(original, Names names not None):
    """Connection.send, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def send(self, event):
        cdef dict held = names.connection.attributes(self)
        cdef object frame = None
        if held is not None and held["_state"] is names.OPEN:
            frame = frame_of(names, held["_proto"], event)
        return original(self, event) if frame is None else frame

    return stand_in(send, original)


cdef object frame_of(Names names, object protocol, object event):
    cdef object cls = type(event)
    if cls is names.TextMessage or cls is names.BytesMessage or cls is names.Message:
        return sent(names, protocol, event.data, event.message_finished, True)
    if cls is names.Ping:
        return serialized(names, protocol, PING, event.payload, True, True)
    if cls is names.Pong:
        return serialized(names, protocol, PONG, event.payload, True, True)
    return None
