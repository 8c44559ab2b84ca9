"""Frame headers at pointer level (RFC 6455 section 5.2). Public: other projects cimport it."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    HEADER_INCOMPLETE = 0         # more bytes are needed
    LENGTH_NOT_MINIMAL = -1       # the length would have fitted a shorter form
    LENGTH_TOP_BIT_SET = -2       # the 64-bit length has its most significant bit set


cdef struct FrameHeader:
    uint8_t opcode                # 0 to 15
    uint8_t fin                   # 1: the last frame of its message
    uint8_t rsv                   # RSV1 is 4, RSV2 is 2, RSV3 is 1
    uint8_t masked                # 1: masking_key is there
    uint32_t masking_key          # as memcpy leaves it; 0 when not masked
    uint64_t payload_length       # bytes; while incomplete, the least that it can be


cdef inline uint64_t load_big_endian(const uint8_t *data, int size) noexcept nogil:
    """The unsigned number in `size` bytes, most significant first."""
    cdef uint64_t number = 0
    cdef int i
    for i in range(size):
        number = number << 8 | data[i]
    return number


cdef inline void store_big_endian(uint8_t *out, uint64_t number, int size) noexcept nogil:
    """Write the low `size` bytes of the number, most significant first."""
    cdef int i
    for i in range(size):
        out[i] = <uint8_t>(number >> (8 * (size - 1 - i)))


cdef inline int parse_header(
    const uint8_t *data, size_t size, FrameHeader *header
) noexcept nogil:
    """Read one header: its size in bytes (2 to 14), HEADER_INCOMPLETE, or a LENGTH_ error.

    Nothing but the encoding of the length is judged here; opcode, RSV and role rules belong to
    the connection. When the header is incomplete and at least two bytes are there, every field
    is filled as far as it is known, so that a caller can refuse it early.
    """
    cdef uint64_t length
    cdef int used = 2
    if size < 2:
        return HEADER_INCOMPLETE
    header.fin = data[0] >> 7
    header.rsv = data[0] >> 4 & 7
    header.opcode = data[0] & 15
    header.masked = data[1] >> 7
    header.masking_key = 0
    length = data[1] & 127
    if length >= 126:
        if length == 126:
            header.payload_length = 126
            if size < 4:
                return HEADER_INCOMPLETE
            length = load_big_endian(data + 2, 2)
            if length < 126:
                return LENGTH_NOT_MINIMAL
            used = 4
        else:
            header.payload_length = 65536
            if size < 10:
                return HEADER_INCOMPLETE
            length = load_big_endian(data + 2, 8)
            if length >> 63:
                return LENGTH_TOP_BIT_SET
            if length < 65536:
                return LENGTH_NOT_MINIMAL
            used = 10
    header.payload_length = length
    if header.masked:
        if size < <size_t>used + 4:
            return HEADER_INCOMPLETE
        memcpy(&header.masking_key, data + used, 4)
        used += 4
    return used


cdef inline int write_header(
    uint8_t *out, uint8_t first_byte, uint64_t payload_length, bint masked, uint32_t masking_key
) noexcept nogil:
    """Write a header of minimal length into `out` (room for 14 bytes); returns its size.

    `first_byte` holds FIN, RSV and opcode as they travel (0x81: a whole text message).
    """
    cdef int used = 2
    cdef uint8_t mask_bit = 0x80 if masked else 0
    out[0] = first_byte
    if payload_length < 126:
        out[1] = mask_bit | <uint8_t>payload_length
    elif payload_length < 65536:
        out[1] = mask_bit | 126
        store_big_endian(out + 2, payload_length, 2)
        used = 4
    else:
        out[1] = mask_bit | 127
        store_big_endian(out + 2, payload_length, 8)
        used = 10
    if masked:
        memcpy(out + used, &masking_key, 4)
        used += 4
    return used


cdef int next_masking_key(uint32_t *key) except -1    # a fresh key from the system's generator
