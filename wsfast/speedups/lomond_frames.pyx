# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (sizes are compared before data is read; a parser belongs to one thread, as in lomond)
"""lomond's frames: `Frame.build`, `FrameParser.parse` and `Parser.feed`.

The parser is a generator that is sent what it waits for, two bytes, two more, the payload, each
as a bytearray of its own. Here `feed` takes frames that are whole, and have nothing wrong, out of
the data by itself, as long as the generator waits for the start of a frame. It sees that by what
the generator yields there, which is why the generator is replaced, too. Everything else the
generator is sent. A frame of ours stands in `_awaiting` while the caller has it, as one of the
generator's does: a caller that gives up in the middle is handed it again.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport (
    PyByteArray_AS_STRING,
    PyByteArray_CheckExact,
    PyByteArray_FromStringAndSize,
    PyByteArray_GET_SIZE,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from wsfast.frame cimport FrameHeader, next_masking_key, parse_header
from wsfast.mask cimport mask_in_place
from wsfast.speedups.building cimport frame_as_bytes
from wsfast.speedups.masker cimport plain_size
from wsfast.speedups.validator cimport Utf8Validator

from wsfast.speedups.methods import random_source, stand_in

__all__ = ["Frames"]


cdef enum:
    FIN_BIT = 0x80
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PONG = 10

FRAME_METHODS = (
    "__init__",
    "is_continuation",
    "is_control",
    "is_text",
    "validate",
    "validate_reserved_bits",
)
FRAME_FIELDS = ("opcode", "payload", "fin", "rsv1", "rsv2", "rsv3", "mask", "masking_key")
PARSER_METHODS = (
    "on_frame",
    "parse",
    "read",
    "read_text",
    "read_until",
    "read_utf8",
    "unpack16",
    "unpack64",
)


cdef inline bint is_opcode(int opcode) noexcept:
    return CONTINUATION <= opcode <= BINARY or CLOSE <= opcode <= PONG


cdef int first_byte(object opcode, tuple bits) except -2:
    """The first byte of a frame; -1 if a bit is none, or the opcode does not fit."""
    cdef int first = 0
    for bit in bits:
        if not PyLong_CheckExact(bit) or not 0 <= bit <= 1:
            return -1
        first = first << 1 | <int>bit
    if not PyLong_CheckExact(opcode) or not 0 <= opcode <= 15:
        return -1
    return first << 4 | <int>opcode


@cython.final
cdef class Frames:
    """One installation; makes the three replacements, which know each other."""

    def __cinit__(self):
        from lomond import frame, frame_parser, parser

        class HeaderRead(parser.Parser.read):
            """Waits for the first two bytes of a frame."""

            __slots__ = ()

        self._frame = frame.Frame
        self._compressed = frame.CompressedFrame
        self._parser = frame_parser.ClientFrameParser
        self._read = parser.Parser.read
        self._until = parser.Parser.read_until
        self._awaitable = parser._Awaitable
        self._parse_error = parser.ParseError
        self._overflow = parser.ParseOverflow
        self._header_read = HeaderRead
        self._globals = Globals(frame, "make_masking_key", "mask_payload")
        self._frames = Methods(frame.Frame, FRAME_METHODS, FRAME_FIELDS, 0)
        self._compressed_frames = Methods(frame.CompressedFrame, FRAME_METHODS, FRAME_FIELDS, 0)
        self._parsers = Methods(self._parser, PARSER_METHODS, (), -1)

    # --- building ------------------------------------------------------------------------------

    cdef bytes _built(
        self, object opcode, object payload, tuple bits, object masked, object masking_key
    ):
        cdef int first = first_byte(opcode, bits)
        cdef const uint8_t *data
        cdef Py_ssize_t size
        cdef uint32_t key = 0
        cdef bytes frame
        if PyBytes_CheckExact(payload):
            data, size = <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
        elif PyByteArray_CheckExact(payload):
            data = <const uint8_t *>PyByteArray_AS_STRING(payload)
            size = PyByteArray_GET_SIZE(payload)
        else:
            return None
        if first < 0 or not self._globals.kept():
            return None
        if masked:
            if masking_key is None:
                next_masking_key(&key)
            elif PyBytes_CheckExact(masking_key) and PyBytes_GET_SIZE(masking_key) == 4:
                memcpy(&key, PyBytes_AS_STRING(masking_key), 4)
            else:
                return None
        frame = frame_as_bytes(<uint8_t>first, data, <size_t>size, bool(masked), key)
        if masked and PyByteArray_CheckExact(payload):  # theirs masks it where it is
            mask_in_place(<uint8_t *>PyByteArray_AS_STRING(payload), <size_t>size, key)
        return frame

    def make_build(self, original):
        """A replacement of the class method `Frame.build`.

        Raises:
            RuntimeError: its masking keys do not come from os.urandom.
        """
        from lomond.frame import make_masking_key

        if make_masking_key.func is not random_source() or make_masking_key.args != (4,):
            raise RuntimeError("make_masking_key is replaced")
        theirs = original.__func__

        def build(
            cls,
            opcode,
            payload=b"",
            fin=1,
            rsv1=0,
            rsv2=0,
            rsv3=0,
            mask=True,
            masking_key=None,
        ):
            cdef bytes frame = None
            if cls is frames._frame or cls is frames._compressed:
                bits = (fin, rsv1, rsv2, rsv3)
                frame = frames._built(opcode, payload, bits, mask, masking_key)
            if frame is None:
                return theirs(cls, opcode, payload, fin, rsv1, rsv2, rsv3, mask, masking_key)
            return frame

        cdef Frames frames = self
        return classmethod(stand_in(build, theirs))

    # --- receiving -----------------------------------------------------------------------------

    cdef bint _waits(self, object parser) except -1:
        cdef object awaiting = parser._awaiting
        if type(awaiting) is not self._header_read or awaiting.remaining != 2:
            return False
        # After an error the generator is gone, and its two bytes are still there.
        if parser._buffer or parser._gen is None or not parser.validate:
            return False
        return (
            self._parsers.attributes(parser) is not None
            and self._frames.kept(self._frame)
            and self._compressed_frames.kept(self._compressed)
            and type(parser._utf8_validator) is Utf8Validator
        )

    cdef object _next_of(self, object parser, object data, Py_ssize_t *at):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self._next(parser, <const uint8_t *>view.buf, view.len, at)
        finally:
            PyBuffer_Release(&view)

    cdef object _next(self, object parser, const uint8_t *data, Py_ssize_t size, Py_ssize_t *at):
        cdef FrameHeader header
        cdef const uint8_t *wire = data + at[0]
        cdef size_t left = <size_t>(size - at[0])
        cdef int used = parse_header(wire, left, &header) if at[0] < size else 0
        cdef Py_ssize_t length
        cdef bint is_text, compression
        cdef object frame
        if used <= 0 or header.payload_length > left - <size_t>used or header.masked:
            return None
        if not is_opcode(header.opcode) or (header.opcode >= CLOSE and not header.fin):
            return None
        compression = parser._compression
        if header.rsv & (3 if parser._frame_class is self._compressed else 7):
            return None
        is_text = header.opcode == TEXT or (header.opcode == CONTINUATION and parser._is_text)
        length = <Py_ssize_t>header.payload_length
        if is_text and length and not compression:
            if not is_valid(parser._utf8_validator, wire + used, length):
                return None
        frame = self._new(parser, wire[0])
        if frame is None:
            return None
        if length:
            frame.payload = PyByteArray_FromStringAndSize(<const char *>wire + used, length)
        if header.opcode == TEXT:
            parser._is_text = True
        if header.fin:
            if not compression and header.opcode <= TEXT:
                (<Utf8Validator>parser._utf8_validator).start()
            parser._is_text = False
        at[0] += used + length
        return frame

    cdef object _new(self, object parser, uint8_t first):
        cdef object kind = parser._frame_class, frame
        if kind is not self._frame and kind is not self._compressed:
            return None
        frame = kind.__new__(kind)
        frame.opcode = first & 0x0F
        frame.payload = b""
        frame.fin = first >> 7
        frame.rsv1 = first >> 6 & 1
        frame.rsv2 = first >> 5 & 1
        frame.rsv3 = first >> 4 & 1
        frame.mask = False
        frame.masking_key = None
        return frame

    def make_parse(self, original):
        """A replacement of the generator `FrameParser.parse`."""

        def parse(self):
            return parse_frames(frames, self)

        cdef Frames frames = self
        return stand_in(parse, original)

    def make_feed(self, original):
        """A replacement of the generator `Parser.feed`."""

        def feed(self, data):
            served = type(self) is frames._parser and plain_size(data) > 0
            return feed_frames(frames, self, data, original) if served else original(self, data)

        cdef Frames frames = self
        return stand_in(feed, original)


cdef bint is_valid(Utf8Validator validator, const uint8_t *data, Py_ssize_t size) noexcept:
    """Continue a text; if it cannot be one any more, nothing has happened."""
    cdef int state = validator.state
    cdef Py_ssize_t i = validator.i
    if validator.feed(data, size) == size:
        return True
    validator.state, validator.i = state, i
    return False


def parse_frames(Frames frames, parser):
    """What is read of a stream, and what comes of it: the head, and then frames."""
    cdef int first, second
    if parser.parse_headers:
        head = yield parser.read_until(b"\r\n\r\n", max_bytes=16 * 1024)
        yield head
    while True:
        wanted = frames._header_read(2) if parser.read is frames._read else parser.read(2)
        header = yield wanted
        while header is None:  # a frame was taken past us
            header = yield wanted
        first, second = header
        length = second & 0x7F
        if length == 126:
            length = parser.unpack16((yield parser.read(2)))
        elif length == 127:
            length = parser.unpack64((yield parser.read(8)))
        if length > 0x7FFFFFFFFFFFFFFF:
            raise_too_large()
        masking_key = None
        if second & 0x80:
            masking_key = yield parser.read(4)
        frame = parser._frame_class(
            first & 0x0F,
            fin=first >> 7,
            rsv1=first >> 6 & 1,
            rsv2=first >> 5 & 1,
            rsv3=first >> 4 & 1,
            mask=second & 0x80 != 0,
            masking_key=masking_key,
        )
        if parser.validate:
            frame.validate()
        if frame.is_text:
            parser._is_text = True
        if length:
            if frame.is_text or (frame.is_continuation and parser._is_text):
                frame.payload = yield parser.read_text(length)
            else:
                frame.payload = yield parser.read(length)
        parser.on_frame(frame)
        yield frame


cdef int raise_too_large() except -1:
    from lomond.errors import PayloadTooLarge

    raise PayloadTooLarge("payload is too large")


def feed_frames(Frames frames, parser, data, original):
    """Parser.feed for data that is not empty: yields frames."""
    cdef Py_ssize_t at = 0, remaining
    if parser._exhausted or parser._eof or isinstance(parser._awaiting, frames._until):
        yield from original(parser, data)
        return
    buffer = parser._buffer
    try:
        while at < len(data):
            if frames._waits(parser):
                frame = frames._next_of(parser, data, &at)
                if frame is not None:
                    parser._awaiting = frame
            if isinstance(parser._awaiting, frames._read):
                remaining = parser._awaiting.remaining
                chunk = data[at:at + remaining]
                at += len(chunk)
                try:
                    parser._awaiting.validate(chunk)
                except frames._parse_error as error:
                    parser._awaiting = parser._gen.throw(error)
                buffer.extend(chunk)
                remaining -= len(chunk)
                if remaining:
                    parser._awaiting.remaining = remaining
                else:
                    parser._awaiting = parser._gen.send(buffer[:])
                    del buffer[:]
            while not isinstance(parser._awaiting, frames._awaitable):
                yield parser._awaiting
                parser._awaiting = next(parser._gen)
    except StopIteration:
        parser._exhausted = True
        if at < len(data):
            raise frames._overflow(f"extra bytes in feed(); {data[at:][:100]!r}")
