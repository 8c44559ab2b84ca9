# ws4py's frames at C level: built from messages, and told apart by the receiver of a stream.
from libc.stdint cimport uint8_t, uint32_t

from wsfast.speedups.keys cimport KeySource
from wsfast.speedups.methods cimport Globals, Methods
from wsfast.speedups.validator cimport Utf8Validator


# What one installation knows of the library.
cdef class Frames:
    cdef object _frame             # its class Frame
    cdef object _module            # ws4py.streaming
    cdef Methods _frames           # methods of Frame that are not called here
    cdef Globals _messaging        # names of ws4py.messaging that are used here
    cdef Globals _streaming        # names of ws4py.streaming that are used here
    cdef KeySource _keys           # where ws4py takes masking keys from

    # A whole frame of a message's data, as Frame(...).build() makes it; None if that has to.
    cdef bytes _built(self, object message, object opcode, uint8_t fin_bit, bint masked)

    # Take a frame, its first byte and its payload as they came, into a stream.
    cdef int _take(
        self, object stream, Utf8Validator validator, uint8_t first, bytes key, bytes body,
        object length
    ) except -1

    # The payload as it was sent; None, and an error told to the stream, if the mask is wrong.
    cdef object _unmasked(self, object stream, bytes key, bytes body)

    # The same three for what a frame can be; the payload is unmasked.
    cdef int _data(
        self, object stream, Utf8Validator validator, uint8_t first, object payload
    ) except -1
    cdef int _close(
        self, object stream, Utf8Validator validator, object payload, object length
    ) except -1

    # Have the stream answer with a Close.
    cdef int _fail(self, object stream, int code, object reason) except -1
