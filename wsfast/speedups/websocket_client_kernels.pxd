# websocket-client's kernels: masking, and UTF-8 as far as the library validates it.


# Whether array.array("B", data) would copy the bytes of data as they are.
cdef bint is_bytes_like(object data) except -1

# The data under the key, as ABNF.mask returns it, if both are of the usual kind; else None.
cdef bytes masked(object masking_key, object data)

# Whether data is a beginning of valid UTF-8: that is all that the library asks for.
cdef bint may_become_text(bytes data) noexcept
