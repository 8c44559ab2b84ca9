# lomond's frames at C level: built, and told apart in what was received.
from libc.stdint cimport uint8_t

from wsfast.speedups.methods cimport Globals, Methods


# What one installation knows of the library.
cdef class Frames:
    cdef object _frame             # its class Frame
    cdef object _compressed        # its class CompressedFrame
    cdef object _parser            # its class ClientFrameParser
    cdef object _read              # its awaitable for a number of bytes, as Parser.read has it
    cdef object _header_read       # ours for the first two of a frame; a subclass of that
    cdef object _until             # its awaitable for a separator
    cdef object _awaitable         # the class of all of them
    cdef object _parse_error       # its ParseError
    cdef object _overflow          # its ParseOverflow
    cdef Globals _globals          # names of lomond.frame that are used here
    cdef Methods _frames           # methods of Frame that are not called here
    cdef Methods _compressed_frames    # the same of CompressedFrame
    cdef Methods _parsers          # methods of ClientFrameParser that are not called here

    # A frame as Frame.build makes it; None if that has to.
    cdef bytes _built(
        self, object opcode, object payload, tuple bits, object masked, object masking_key
    )

    # Whether the parser waits for a frame, and nobody has overridden what it does with one.
    cdef bint _waits(self, object parser) except -1

    # The frame that starts at a place in data, which moves behind it; None if it is not whole,
    # not plain, or has something wrong.
    cdef object _next(self, object parser, const uint8_t *data, Py_ssize_t size, Py_ssize_t *at)

    # The same in data of any type that is bytes-like in the plain sense.
    cdef object _next_of(self, object parser, object data, Py_ssize_t *at)

    # A new frame with that header, of the class that the parser wants.
    cdef object _new(self, object parser, uint8_t first)
