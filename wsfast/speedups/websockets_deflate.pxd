# permessage-deflate of websockets, as PerMessageDeflate does it (RFC 7692 section 7.2).
from libc.stdint cimport uint8_t

from wsfast.frame cimport FrameHeader
from wsfast.speedups.websockets_names cimport Names

cdef enum:
    SMALL = 2044              # fewer compressed bytes than this are inflated in one call
    EMPTY_BLOCK_SIZE = 4      # of 00 00 ff ff, which ends every message and does not travel

# Whether the extension keeps its context from message to message, which is when it is ours.
cdef bint keeps_encoder(object extension) except -1
cdef bint keeps_decoder(object extension) except -1

# What encode() makes of a payload, with the EMPTY_BLOCK still at its end.
cdef bytes deflated(object extension, object payload)

# Whether the payload of this data frame is compressed; RSV1 of a CONTINUATION is 0.
cdef bint is_compressed(object extension, FrameHeader *header) except -1

# What decode() makes of the compressed payload of a frame that was found valid, and complete in
# memory: its new payload. Raises what decode() raises.
cdef object inflated(
    Names names, object extension, const uint8_t *data, FrameHeader *header, object max_size
)
