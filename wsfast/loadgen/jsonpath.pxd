"""A value in a JSON text, found by its path without making an object."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t


cdef struct Step:
    size_t offset                 # where its name begins in JsonPath.names
    size_t size                   # bytes of its name
    bint is_index                 # the name is a number, too: an index of an array
    uint64_t index                # that number


@cython.final
cdef class JsonPath:
    cdef readonly str text        # as it was given
    cdef bytes names              # of all steps, one behind the other
    cdef const uint8_t *first     # its first byte
    cdef Step *steps              # from the outside in
    cdef size_t count             # of the steps

    # The first byte of the value, or NULL: the text has no such value. Of a name that comes
    # twice in an object the first one counts. Never reads at or behind `end`.
    cdef const uint8_t *find(self, const uint8_t *text, const uint8_t *end) noexcept nogil

    # Whether the value is a whole number of at most 64 bits, plain or as a string of digits.
    cdef bint read_number(
        self, const uint8_t *text, const uint8_t *end, uint64_t *number
    ) noexcept nogil
    # The same for one step of it, from the brace or bracket at `at`.
    cdef const uint8_t *find_name(
        self, const uint8_t *at, const uint8_t *end, const Step *step
    ) noexcept nogil
    # Whether the inside of a string is the name of the step, escapes resolved.
    cdef bint is_name(
        self, const uint8_t *at, const uint8_t *end, const Step *step
    ) noexcept nogil
