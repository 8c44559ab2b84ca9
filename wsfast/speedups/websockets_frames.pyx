# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False
# (pointers with sizes checked by hand; one thread at a time per connection, as in websockets; a
# half-read frame is no more to be pickled than the generator that it stands for)
"""websockets' Frame.parse and Frame.serialize (RFC 6455 section 5.2).

The parser of websockets is a generator that reads a frame in up to four pieces, each of them a
generator too. `FrameReader` takes its place: it looks at the reader's buffer, and where the whole
frame is there, it is taken in one piece. Where it is not, the header is consumed as it arrives,
in the pieces that the original would have consumed it in, so that the buffer looks the same
between two calls.

It knows only what is valid. At anything else it puts back what it has consumed, and lets the
original read the frame from its start: the error is the library's, when it is due.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport (
    PyByteArray_AS_STRING,
    PyByteArray_CheckExact,
    PyByteArray_FromStringAndSize,
    PyByteArray_GET_SIZE,
    PyByteArray_Resize,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.memoryview cimport PyMemoryView_Check, PyMemoryView_GET_BUFFER
from cpython.method cimport PyMethod_Check, PyMethod_GET_FUNCTION, PyMethod_GET_SELF
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from wsfast.frame cimport parse_header
from wsfast.mask cimport mask_copy
from wsfast.speedups.building cimport frame_as_bytes
from wsfast.speedups.websockets_deflate cimport EMPTY_BLOCK_SIZE, deflated, keeps_encoder

from wsfast.speedups.methods import stand_in

__all__ = ["FrameReader", "make_parse", "make_serialize"]

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void *PyUnicode_DATA(object text)

cdef enum:
    CONTROL = 8                   # a bit of every control frame's opcode
    MAX_CONTROL = 125             # bytes of payload in one
    FIN = 0x80
    RSV1 = 0x40
    SMALL = 4096                  # bytes: no page is mapped for less
    OPCODE_BITS = 0x0F

cdef object EXHAUSTED = iter(())  # what a generator is like that has returned


# --- headers and payloads ----------------------------------------------------------------------


cdef bint is_valid(Names names, FrameHeader *header, bint mask) noexcept:
    if header.opcode & CONTROL and (not header.fin or header.payload_length > MAX_CONTROL):
        return False
    return names.opcodes[header.opcode] is not None and header.masked == mask


cdef object payload_of(const uint8_t *data, FrameHeader *header):
    cdef Py_ssize_t size = <Py_ssize_t>header.payload_length
    cdef bytes payload
    if not header.masked:
        return PyByteArray_FromStringAndSize(<char *>data, size)
    payload = PyBytes_FromStringAndSize(NULL, size)
    mask_copy(<uint8_t *>PyBytes_AS_STRING(payload), data, <size_t>size, header.masking_key)
    return payload


cdef bytearray open_buffer(Names names, object reader):
    cdef dict own
    if type(reader) is not names.StreamReader:
        return None
    own = names.reader.attributes(reader)
    if own is None or own["eof"] is not False:
        return None
    buffer = own["buffer"]
    return <bytearray>buffer if PyByteArray_CheckExact(buffer) else None


cdef int append(bytearray buffer, const uint8_t *data, Py_ssize_t size) except -1:
    cdef Py_ssize_t held = PyByteArray_GET_SIZE(buffer)
    if size:
        PyByteArray_Resize(buffer, held + size)
        memcpy(PyByteArray_AS_STRING(buffer) + held, data, <size_t>size)
    return 0


cdef int drop(bytearray buffer, Py_ssize_t size) except -1:
    """Remove bytes from the front.

    A large block is left to `del`, which gives it back as a whole: shrunk, it would stay mapped,
    and have its pages mapped one by one when it grows again.
    """
    if size == PyByteArray_GET_SIZE(buffer) and size < SMALL:
        PyByteArray_Resize(buffer, 0)
    else:
        del buffer[:size]
    return 0


cdef bint read_limit(object limit, Py_ssize_t *value) except -1:
    if limit is None:
        value[0] = PY_SSIZE_T_MAX
        return True
    if not PyLong_CheckExact(limit) or not 0 <= limit <= PY_SSIZE_T_MAX:
        return False
    value[0] = limit
    return True


cdef object pass_on(object generator, object typ, object val, object tb):
    """Throw into it; with three arguments only where we got them, for they are deprecated."""
    if val is None and tb is None:
        return generator.throw(typ)
    return generator.throw(typ, val, tb)


# --- parsing -----------------------------------------------------------------------------------


@cython.final
@cython.freelist(8)
cdef class FrameReader:
    """What Frame.parse returns; to be driven as the generator that it stands for."""

    def __iter__(self):
        return self

    def __next__(self):
        if self.slow is None:
            frame = self.step()
            if frame is not None:
                raise StopIteration(frame)
            if self.slow is None:
                return None
        return next(self.slow)

    def send(self, value):
        """As of a generator: nothing is made of the value."""
        return next(self)

    def throw(self, typ, val=None, tb=None):
        """As of a generator that catches nothing."""
        if self.slow is not None and self.slow is not EXHAUSTED:
            return pass_on(self.slow, typ, val, tb)
        self.slow = EXHAUSTED
        error = typ if val is None else val
        raise error if tb is None else error.with_traceback(tb)

    def close(self):
        """As of a generator: the frame is not read any further."""
        if self.slow is not None and self.slow is not EXHAUSTED:
            self.slow.close()
        self.slow = EXHAUSTED

    cdef Py_ssize_t missing(self, bytearray buffer) noexcept:
        cdef Py_ssize_t held = PyByteArray_GET_SIZE(buffer)
        cdef Py_ssize_t size = <Py_ssize_t>self.header.payload_length
        if self.slow is not None or not self.in_payload:
            return -1
        return size - held if size > held else 0

    cdef object step(self):
        cdef bytearray buffer = open_buffer(self.names, self.reader)
        if buffer is None or not self.is_usual():
            self.give_up()
            return None
        if not self.in_payload:
            self.in_payload = self.read_header(buffer)
        return self.take(buffer) if self.missing(buffer) == 0 else None

    cdef bint is_usual(self) except -1:
        cdef bint has_length = self.consumed > 2 or self.head[1] & 127 < 126
        if self.consumed and has_length:
            return self.names.can_build()
        return self.names.can_parse()

    cdef bint read_header(self, bytearray buffer) except -1:
        cdef int piece
        while True:
            piece = self.next_piece(buffer)
            if piece == 0:
                return True
            if PyByteArray_GET_SIZE(buffer) < piece:
                return False
            memcpy(self.head + self.consumed, PyByteArray_AS_STRING(buffer), <size_t>piece)
            self.consumed += piece
            drop(buffer, piece)
            if not self.judge():
                self.give_up()
                return False

    cdef int next_piece(self, bytearray buffer) noexcept:
        cdef FrameHeader header
        cdef int whole, extended, length
        if self.consumed == 0:
            whole = parse_header(
                <uint8_t *>PyByteArray_AS_STRING(buffer),
                <size_t>PyByteArray_GET_SIZE(buffer),
                &header,
            )
            return whole if whole > 0 else 2
        length = self.head[1] & 127
        extended = 2 if length == 126 else 8 if length == 127 else 0
        if self.consumed == 2 and extended:
            return extended
        return 4 if self.mask and self.consumed == 2 + extended else 0

    cdef bint judge(self) except -1:
        cdef int used = parse_header(self.head, <size_t>self.consumed, &self.header)
        return (
            used >= 0
            and is_valid(self.names, &self.header, self.mask)
            and self.header.payload_length <= <uint64_t>self.limit
            and (self.header.rsv == 0 or self.extensions is not None)
        )

    cdef object take(self, bytearray buffer):
        cdef Py_ssize_t size = <Py_ssize_t>self.header.payload_length
        payload = payload_of(<uint8_t *>PyByteArray_AS_STRING(buffer), &self.header)
        drop(buffer, size)
        self.slow = EXHAUSTED
        frame = self.names.Frame(
            self.names.opcodes[self.header.opcode],
            payload,
            self.header.fin != 0,
            self.header.rsv & 4 != 0,
            self.header.rsv & 2 != 0,
            self.header.rsv & 1 != 0,
        )
        if self.extensions is not None:
            for extension in reversed(self.extensions):
                frame = extension.decode(frame, max_size=self.max_size)
            frame.check()
        return frame

    cdef int give_up(self) except -1:
        self.slow = self.original(
            self.names.Frame,
            self.read_exact,
            mask=self.mask,
            max_size=self.max_size,
            extensions=self.extensions,
        )
        if self.consumed:
            self.reader.buffer[:0] = self.head[:self.consumed]
            self.consumed = 0
        return 0


def make_parse(original, Names names not None):
    """Frame.parse, compiled.

    Args:
        original: the library's own, a classmethod.
        names: the library.
    """
    cdef object function = original.__func__

    def parse(cls, read_exact, *, mask, max_size=None, extensions=None):
        cdef FrameReader reader
        cdef Py_ssize_t limit
        if (
            cls is not names.Frame
            or type(mask) is not bool
            or not PyMethod_Check(read_exact)
            or <void *>PyMethod_GET_FUNCTION(read_exact) != <void *>names.read_exact
            or not read_limit(max_size, &limit)
        ):
            return function(
                cls, read_exact, mask=mask, max_size=max_size, extensions=extensions
            )
        reader = FrameReader.__new__(FrameReader)
        reader.names = names
        reader.original = function
        reader.read_exact = read_exact
        reader.reader = <object>PyMethod_GET_SELF(read_exact)
        reader.mask = mask
        reader.max_size = max_size
        reader.limit = limit
        reader.extensions = extensions or None
        return reader

    return classmethod(stand_in(parse, function))


# --- serializing -------------------------------------------------------------------------------


cdef bytes serialized(
    Names names, uint8_t first_byte, object payload, Py_ssize_t tail, bint mask
):
    """A frame as it travels, without the last `tail` bytes of the payload."""
    cdef Py_buffer view
    cdef uint32_t key = 0
    if mask:
        names.keys.take(&key)
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        return frame_as_bytes(
            first_byte, <const uint8_t *>view.buf, <size_t>(view.len - tail), mask, key
        )
    finally:
        PyBuffer_Release(&view)


cdef bint is_plain(Py_buffer *view) noexcept:
    """Whether a memoryview's len() is its bytes, one after another."""
    return view.ndim == 1 and view.itemsize == 1 and view.strides[0] == 1


cdef bytes serialized_frame(Names names, object frame, bint mask, object extensions):
    """None if it is not a frame that the library accepts, or not one of ours."""
    cdef object opcode = frame.opcode
    cdef object data = frame.data
    cdef bint mine = True
    cdef object extension = None
    cdef int number
    cdef uint8_t first_byte
    if type(opcode) is not names.Opcode or frame.fin is not True and frame.fin is not False:
        return None
    if frame.rsv1 is not False or frame.rsv2 is not False or frame.rsv3 is not False:
        return None
    if extensions is not None:
        extension = names.extension_in(extensions, &mine)
    if not mine:
        return None
    number = opcode
    first_byte = <uint8_t>number
    if frame.fin:
        first_byte |= FIN
    if number & CONTROL:
        if not frame.fin or len(data) > MAX_CONTROL:
            return None
        extension = None
    if not can_frame(data, extension):
        return None
    return framed(names, first_byte, data, mask, extension)


cdef bint can_frame(object data, object extension) except -1:
    if PyMemoryView_Check(data):
        if not is_plain(PyMemoryView_GET_BUFFER(data)):
            return False
    elif not PyBytes_CheckExact(data) and not PyByteArray_CheckExact(data):
        return False
    return extension is None or keeps_encoder(extension)


cdef bytes framed(Names names, uint8_t first_byte, object data, bint mask, object extension):
    cdef bytes compressed
    if extension is None:
        return serialized(names, first_byte, data, 0, mask)
    compressed = deflated(extension, data)
    if first_byte & OPCODE_BITS:
        first_byte |= RSV1
    return serialized(
        names, first_byte, compressed, EMPTY_BLOCK_SIZE if first_byte & FIN else 0, mask
    )


cdef bytes framed_text(
    Names names, uint8_t first_byte, str text, bint mask, object extension
):
    cdef uint32_t key = 0
    if extension is not None and not keeps_encoder(extension):
        return None
    if extension is None and PyUnicode_IS_COMPACT_ASCII(text):
        if mask:
            names.keys.take(&key)
        return frame_as_bytes(
            first_byte, <const uint8_t *>PyUnicode_DATA(text), <size_t>len(text), mask, key
        )
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return None
    return framed(names, first_byte, data, mask, extension)


def make_serialize(original, Names names not None):
    """Frame.serialize, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def serialize(self, *, mask, extensions=None):
        cdef bytes frame = None
        if type(self) is names.Frame and type(mask) is bool and names.can_build():
            frame = serialized_frame(names, self, mask, extensions)
        if frame is None:
            return original(self, mask=mask, extensions=extensions)
        return frame

    return stand_in(serialize, original)
