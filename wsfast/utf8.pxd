# UTF-8 at C level (Unicode 3.9 table 3-7, RFC 3629), resumable at any byte.
from libc.stdint cimport uint8_t, uint32_t


# A validator between two calls; all zero is the start.
cdef struct Utf8State:
    uint8_t tail[3]   # the bytes so far of a sequence that the text ends inside
    uint8_t pending   # how many of them; 0 says that the text so far is complete


# size if data is valid and complete (*complete = 1); size too, with *complete = 0, if data ends
# inside a sequence; else the offset of the first byte that cannot continue a valid text.
cdef size_t validate_utf8(const uint8_t *data, size_t size, int *complete) noexcept nogil

# Continue with data: size if all of it can be continued to a valid text, else the offset in data
# of the first byte that cannot. After a failure the state is unspecified.
cdef size_t feed_utf8(Utf8State *state, const uint8_t *data, size_t size) noexcept nogil

# Unmask src into dst (dst == src allowed, otherwise no overlap). 1 if every unmasked byte is
# ASCII, else 0, and what dst holds is unspecified. Key 0 copies.
cdef int unmask_ascii(
    uint8_t *dst, const uint8_t *src, size_t size, uint32_t key
) noexcept nogil

# Unmask src into dst (dst == src allowed, otherwise no overlap) and feed the result: returns as
# feed_utf8. All of dst is written, also on failure.
cdef size_t unmask_utf8(
    Utf8State *state, uint8_t *dst, const uint8_t *src, size_t size, uint32_t key
) noexcept nogil
