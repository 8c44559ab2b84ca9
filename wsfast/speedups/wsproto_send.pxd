# Frames as wsproto sends them (RFC 6455 section 5.2).
from libc.stdint cimport uint8_t

from wsfast.speedups.wsproto_names cimport Names


# A frame of a FrameProtocol with a payload of bytes-like type, through its extensions; as bytes
# or as a bytearray. None if the original has to do it: then no extension was asked.
cdef object serialized(
    Names names, object protocol, int opcode, object payload, bint fin, bint as_bytes
)

# The same for a message of a str or bytes, or a part of one; the protocol notes what it is part
# of. None, and nothing noted, if the original has to do it.
cdef object sent(Names names, object protocol, object payload, object fin, bint as_bytes)
