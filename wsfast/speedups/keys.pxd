# Masking keys from the source that a library names (RFC 6455 section 5.3).
from libc.stdint cimport uint32_t


# Where a library takes its keys from: a function of a module, looked up at every call, as the
# library itself does.
cdef class KeySource:
    cdef dict _namespace           # the module's
    cdef str _name                 # of the function in it
    cdef object _usual             # the function that was there at install; None: not its own

    # One key as memcpy leaves it: from the pool of wsfast.frame while the function is the usual
    # one, else from whatever a test or an application put in its place. Raises what that raises,
    # and ValueError unless it returns 4 bytes.
    cdef int take(self, uint32_t *key) except -1

    # The slow half of `take`.
    cdef int _take_replaced(self, uint32_t *key) except -1
