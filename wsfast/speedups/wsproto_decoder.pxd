# Frames out of the bytes that a wsproto FrameDecoder holds (RFC 6455 section 5.2).
from libc.stdint cimport uint32_t

from wsfast.speedups.wsproto_buffer cimport StreamBuffer
from wsfast.speedups.wsproto_names cimport Names

cdef enum Next:
    NOTHING                # no frame before more bytes arrive
    READY                  # a Part was filled: its payload is to be taken now
    OTHER                  # not ours: other_frame() says what it is


# A frame, or what has arrived of it: wsproto hands out data as it comes.
cdef struct Part:
    int opcode             # CONTINUATION after the first part of a frame
    bint fin               # the last frame of its message
    bint finished          # the last part of its frame
    bint inflate           # it goes through a PerMessageDeflate, the only extension
    bint compressed        # RSV1 is set
    bint masked            # even with a key of 0
    uint32_t key           # for this part; 0 if it is not masked
    Py_ssize_t size        # bytes of payload in it


# `held` is what a FrameDecoder holds: its attributes, as names.decoder found them.

# What FrameDecoder.process_buffer would do now, as far as nothing is wrong, and no extension is
# negotiated but the library's own. READY: the decoder is where it will be, but the payload is
# still in the buffer.
cdef int next_part(Names names, dict held, StreamBuffer buffer, Part *part) except -1

# Consume the payload of a READY part, unmasked and inflated, of the type that the library hands
# out. Raises ParseFailed for what cannot be inflated.
cdef object take_payload(Names names, dict held, StreamBuffer buffer, Part *part)

# Consume it as text if it is ASCII, and not inflated; None, and nothing consumed, if it is not.
cdef str take_ascii(StreamBuffer buffer, Part *part)

# After OTHER: a Frame, or None, or the library's own error; through the extensions' hooks.
cdef object other_frame(Names names, object decoder, dict held, StreamBuffer buffer)
