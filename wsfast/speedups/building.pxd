# Whole frames at C level (RFC 6455 section 5.2). `first_byte` is FIN, RSV and opcode as they
# travel; `masking_key` is in wire order, as memcpy leaves it, and ignored unless `masked`.
from libc.stdint cimport uint8_t, uint32_t

# The header and the payload, masked on the way, in a new bytes.
cdef bytes frame_as_bytes(
    uint8_t first_byte, const uint8_t *payload, size_t size, bint masked, uint32_t masking_key
)

# The same in a new bytearray.
cdef bytearray frame_as_bytearray(
    uint8_t first_byte, const uint8_t *payload, size_t size, bint masked, uint32_t masking_key
)

# frame_as_bytes for the content of a contiguous buffer; raises what PyObject_GetBuffer raises.
cdef bytes frame_of(uint8_t first_byte, object payload, bint masked, uint32_t masking_key)
