# Maskers at C level (RFC 6455 section 5.3). Keys are in wire order, as memcpy leaves them.
from libc.stdint cimport uint8_t, uint32_t


# How many bytes there are if it is a bytes, a bytearray (neither a subclass) or a contiguous
# memoryview of single bytes: what every library takes to be bytes; else -1.
cdef Py_ssize_t plain_size(object data)

# The key in the first four bytes of a bytes or a bytearray; False if it is no such or shorter.
cdef bint load_key(object key, uint32_t *loaded) noexcept

# The data under the key in a new bytes. May give up the GIL for data that is large.
cdef bytes masked_bytes(object data, uint32_t key)

# The same in a new bytearray.
cdef bytearray masked_bytearray(object data, uint32_t key)


# The masker of wsaccel; masks bytes as they come, and remembers how many those were.
cdef class XorMaskerSimple:
    cdef uint32_t key         # that of the first byte
    cdef size_t used          # bytes since the last reset


# The same for frames that are not masked.
cdef class XorMaskerNull:
    cdef Py_ssize_t used      # bytes since the last reset


# The masker of autobahn.
cdef class XorMasker:
    cdef uint32_t key         # that of the first byte
    cdef size_t used          # bytes since the last reset
    cdef object _factory      # autobahn's own create_xor_masker, for data that is not plain
