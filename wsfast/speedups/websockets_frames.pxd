# One frame of websockets, out of the bytes that hold it and into bytes (RFC 6455 section 5.2).
from libc.stdint cimport uint8_t

from wsfast.frame cimport FrameHeader
from wsfast.speedups.websockets_names cimport Names

cdef enum:
    HEADER_ROOM = 14               # the longest header


# The iterator that Frame.parse returns: at StopIteration its value is the frame.
cdef class FrameReader:
    cdef Names names
    cdef object original            # Frame.parse as it was, a function
    cdef object read_exact          # of the reader
    cdef object reader              # a StreamReader
    cdef bint mask                  # whether the frame has to be masked
    cdef object max_size            # bytes of payload, or None
    cdef Py_ssize_t limit           # the same as a number
    cdef object extensions          # a sequence; None if there are none
    cdef object slow                # the original's generator, once it has taken over
    cdef uint8_t head[HEADER_ROOM]  # what is consumed of the header
    cdef int consumed               # bytes in `head`
    cdef FrameHeader header         # of them, as far as they go
    cdef bint in_payload            # the header is consumed, and is valid

    # After the header: bytes of the payload that are not in the buffer yet; else -1.
    cdef Py_ssize_t missing(self, bytearray buffer) noexcept

    # The frame; None as long as it is not complete, or if it is now the original's business.
    cdef object step(self)

    # Whether nothing has been replaced that the original calls from here on.
    cdef bint is_usual(self) except -1

    # Consume the header, whole or in the pieces that the original reads; whether all is there.
    cdef bint read_header(self, bytearray buffer) except -1

    # Bytes of the next piece of the header; 0 if there is none.
    cdef int next_piece(self, bytearray buffer) noexcept

    # Whether what is consumed is, as far as it is known, a frame that is built here.
    cdef bint judge(self) except -1

    # Consume a complete payload: the frame.
    cdef object take(self, bytearray buffer)

    # Put back what was consumed, and let the original see it from the start.
    cdef int give_up(self) except -1


# Whether the library accepts a frame with this header, RSV and the size left aside.
cdef bint is_valid(Names names, FrameHeader *header, bint mask) noexcept

# The payload, unmasked into bytes, or copied to a bytearray if it is not masked.
cdef object payload_of(const uint8_t *data, FrameHeader *header)

# The buffer of a reader, if it is a plain StreamReader that has not ended; else None.
cdef bytearray open_buffer(Names names, object reader)

# Add bytes to the end of the buffer, as += does.
cdef int append(bytearray buffer, const uint8_t *data, Py_ssize_t size) except -1

# A size limit as a number, the largest one for None; False if it is no limit that we understand.
cdef bint read_limit(object limit, Py_ssize_t *value) except -1

# Whether framed() takes such a payload: bytes, a bytearray or a memoryview of bytes; and whether
# it does what the extension, a PerMessageDeflate or None, would do.
cdef bint can_frame(object data, object extension) except -1

# A frame as it travels, compressed if there is an extension. To be asked for after can_frame().
cdef bytes framed(Names names, uint8_t first_byte, object data, bint mask, object extension)

# The same for a text; None if it cannot be encoded, or if the extension has to see to it.
cdef bytes framed_text(
    Names names, uint8_t first_byte, str text, bint mask, object extension
)

# generator.throw(), with as many arguments as there are.
cdef object pass_on(object generator, object typ, object val, object tb)
