# Masking for websockets where its C extension is missing (RFC 6455 section 5.3).

# The data under the mask as bytes; None if the library has to see to it.
cdef bytes masked(object data, object mask)
