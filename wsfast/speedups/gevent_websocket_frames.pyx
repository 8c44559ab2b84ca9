# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (what is read is as long as was asked for; a WebSocket belongs to one greenlet, as theirs)
"""gevent-websocket's reading: `Header.decode_header`, `WebSocket.read_frame` and `read_message`.

The library reads a header in up to three calls of the stream's `read`, and the payload in one of
its own; so does this. A text is validated frame by frame and once more as a whole, without a
reset between: that changes nothing but the counters if it ends on a code point, and fails if it
does not. Only the counters are kept of a second look that cannot fail.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from wsfast.frame cimport load_big_endian

from wsfast.speedups.methods import stand_in

__all__ = ["Reader"]


cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10
    LARGEST_CONTROL = 125

#: What read_message looks up in the class: the methods, and the numbers.
SOCKET_METHODS = ("read_frame", "validate_utf8", "_decode_bytes")
OPCODES = (
    "OPCODE_CONTINUATION",
    "OPCODE_TEXT",
    "OPCODE_BINARY",
    "OPCODE_CLOSE",
    "OPCODE_PING",
    "OPCODE_PONG",
)
HEADER_METHODS = ("decode_header", "unmask_payload", "__init__")
MASKS = ("FIN_MASK", "OPCODE_MASK", "MASK_MASK", "LENGTH_MASK", "HEADER_FLAG_MASK")


cdef inline const uint8_t *bytes_of(object data) except NULL:
    if PyBytes_CheckExact(data):
        return <const uint8_t *>PyBytes_AS_STRING(data)
    return <const uint8_t *>PyByteArray_AS_STRING(data)


cdef inline Py_ssize_t size_of(object data) noexcept:
    if PyBytes_CheckExact(data):
        return PyBytes_GET_SIZE(data)
    return PyByteArray_GET_SIZE(data)


cdef bint valid_so_far(object websocket, Utf8Validator validator, object data) except -1:
    """What WebSocket.validate_utf8 does, but for raising; data is bytes or a bytearray."""
    cdef Py_ssize_t size = size_of(data)
    cdef Py_ssize_t valid = validator.feed(bytes_of(data), size)
    websocket.utf8validate_last = validator.verdict(valid, size)
    return valid == size


@cython.final
cdef class Reader:
    """One installation; makes the three replacements, which know each other."""

    def __cinit__(self):
        from geventwebsocket import websocket as module

        self._header = module.Header
        self._socket = module.WebSocket
        self._failed = module.WebSocketError
        self._violated = module.ProtocolError
        self._too_large = module.FrameTooLargeException
        self._globals = Globals(
            module, "Header", "struct", "ProtocolError", "WebSocketError", "FrameTooLargeException"
        )
        self._headers = Methods(self._header, HEADER_METHODS, MASKS, -1)
        self._sockets = Methods(self._socket, SOCKET_METHODS, OPCODES, -1)

    # --- headers and frames --------------------------------------------------------------------

    cdef object _take(self, object read, Py_ssize_t size):
        data = read(size)
        if len(data) != size:
            raise self._failed("Unexpected EOF while decoding header")
        if PyBytes_CheckExact(data) or PyByteArray_CheckExact(data):
            return data
        return bytes(memoryview(data))

    cdef object _length(self, object read, int announced):
        if announced == 126:
            return load_big_endian(bytes_of(self._take(read, 2)), 2)
        if announced == 127:
            return load_big_endian(bytes_of(self._take(read, 8)), 8)
        return announced

    cdef object _read_header(self, object stream):
        cdef object read = stream.read
        cdef object data = self._take(read, 2)
        cdef const uint8_t *wire = bytes_of(data)
        cdef int first = wire[0], second = wire[1]
        cdef object header
        if first & 0x08:
            if not first & 0x80:
                raise self._violated(f"Received fragmented control frame: {data!r}")
            if second & 0x7F > LARGEST_CONTROL:
                raise self._too_large(f"Control frame cannot be larger than 125 bytes: {data!r}")
        length = self._length(read, second & 0x7F)
        header = self._header.__new__(self._header)
        header.mask = self._take(read, 4) if second & 0x80 else ""
        header.fin = first & 0x80 != 0
        header.opcode = first & 0x0F
        header.flags = first & 0x70
        header.length = length
        return header

    cdef tuple _read_frame(self, object websocket):
        cdef object header = self._read_header(websocket.stream), payload, length
        if header.flags:
            raise self._violated
        length = header.length
        if not length:
            return header, b""
        try:
            payload = websocket.raw_read(length)
        except Exception:  # as theirs: too short then, whatever it was
            payload = b""
        if len(payload) != length:
            raise self._failed("Unexpected EOF reading frame payload")
        if header.mask:
            payload = header.unmask_payload(payload)
        return header, payload

    def make_decode_header(self, original):
        """A replacement of the class method `Header.decode_header`."""
        theirs = original.__func__

        def decode_header(cls, stream):
            if cls is reader._header and reader._headers.kept(cls) and reader._globals.kept():
                return reader._read_header(stream)
            return theirs(cls, stream)

        cdef Reader reader = self
        return classmethod(stand_in(decode_header, theirs))

    def make_read_frame(self, original):
        """A replacement of `WebSocket.read_frame`."""

        def read_frame(self):
            if reader._headers.kept(reader._header) and reader._globals.kept():
                return reader._read_frame(self)
            return original(self)

        cdef Reader reader = self
        return stand_in(read_frame, original)

    # --- messages ------------------------------------------------------------------------------

    cdef bint _serves(self, object websocket) except -1:
        if not self._headers.kept(self._header) or not self._globals.kept():
            return False
        if type(websocket.utf8validator) is not Utf8Validator:
            return False
        if type(websocket) is self._socket:
            return self._sockets.kept(self._socket)
        return hasattr(websocket, "__dict__") and self._sockets.attributes(websocket) is not None

    cdef bint _control(self, object websocket, object header, object payload) except -1:
        cdef int opcode = header.opcode
        if opcode == PING:
            websocket.handle_ping(header, payload)
        elif opcode == PONG:
            websocket.handle_pong(header, payload)
        elif opcode == CLOSE:
            websocket.handle_close(header, payload)
        else:
            raise self._violated(f"Unexpected opcode={opcode!r}")
        return opcode == CLOSE

    cdef object _read_message(self, object websocket):
        cdef Utf8Validator validator = websocket.utf8validator
        cdef int opcode = CONTINUATION, got
        cdef object header, payload
        cdef bytearray message = None
        while True:
            header, payload = self._read_frame(websocket)
            got = header.opcode
            if got > BINARY:
                if self._control(websocket, header, payload):
                    return None
                continue
            if got != CONTINUATION:
                if opcode:
                    raise self._violated(
                        f"The opcode in non-fin frame is expected to be zero, got {got!r}"
                    )
                validator.start()
                websocket.utf8validate_last = (True, True, 0, 0)
                opcode = got
            elif not opcode:
                raise self._violated("Unexpected frame with opcode=0")
            if not header.mask or not PyByteArray_CheckExact(payload):
                payload = bytearray(payload)
            if opcode == TEXT and not valid_so_far(websocket, validator, payload):
                raise_invalid(websocket)
            if message is None:
                message = payload
            else:
                message += payload
            if header.fin:
                break
        return message if opcode == BINARY else text_of(websocket, validator, message)

    def make_read_message(self, original):
        """A replacement of `WebSocket.read_message`."""

        def read_message(self):
            return reader._read_message(self) if reader._serves(self) else original(self)

        cdef Reader reader = self
        return stand_in(read_message, original)


cdef object text_of(object websocket, Utf8Validator validator, bytearray message):
    """Validate the message as a whole, and decode it."""
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(message)
    if validator.state == 0:
        validator.i += size
        websocket.utf8validate_last = validator.verdict(size, size)
    elif not valid_so_far(websocket, validator, message):
        raise_invalid(websocket)
    return message.decode("utf-8")


cdef int raise_invalid(object websocket) except -1:
    raise UnicodeError(
        "Encountered invalid UTF-8 while processing text message at payload octet index "
        f"{websocket.utf8validate_last[3]:d}"
    )
