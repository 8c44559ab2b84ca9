# Masking at C level (RFC 6455 section 5.3); `key` is the masking key in wire order, as memcpy
# from the frame leaves it.
from libc.stdint cimport uint8_t, uint32_t


# XOR `size` bytes with the key, in place. Any alignment; size may be 0.
cdef void mask_in_place(uint8_t *data, size_t size, uint32_t key) noexcept nogil

# XOR src with the key into dst. dst == src is allowed, and so is dst < src with any overlap
# (moving down); no other overlap is.
cdef void mask_copy(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) noexcept nogil


# The key for bytes that start `offset` bytes into the payload.
cdef inline uint32_t rotate_key(uint32_t key, size_t offset) noexcept nogil:
    cdef uint32_t rotated = 0
    cdef uint8_t *source = <uint8_t *>&key
    cdef uint8_t *target = <uint8_t *>&rotated
    target[0] = source[offset & 3]
    target[1] = source[(offset + 1) & 3]
    target[2] = source[(offset + 2) & 3]
    target[3] = source[(offset + 3) & 3]
    return rotated
