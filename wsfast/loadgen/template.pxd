"""A message with fields: constant parts, and between them what differs from message to message."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum Kind:
    CONSTANT                      # the one of its spans
    CHOICE                        # one of its spans
    SEQUENCE                      # of the message on its connection
    CONNECTION                    # number of the connection among all workers
    WORKER                        # number of the generator process
    TIME_NS                       # when the message is meant to leave, Unix time
    TIME_US                       # the same in microseconds
    TIME_MS                       # the same in milliseconds
    TIME_ISO                      # the same as 2026-01-31T23:59:59.123456Z
    RANDOM_INT                    # a whole number
    RANDOM_STRING                 # letters, digits, - and _
    RANDOM_HEX                    # lower-case hexadecimal digits
    UUID                          # a random one (RFC 9562 section 5.4)


cdef struct Span:
    size_t offset                 # where in Template.text
    size_t size                   # bytes


cdef struct Part:
    Kind kind
    int64_t low                   # of RANDOM_INT the smallest number
    uint64_t count                # of RANDOM_INT how many numbers (0: 2**64); of CHOICE how many
                                  # spans; of RANDOM_STRING and RANDOM_HEX how many characters
    size_t span                   # of CONSTANT and CHOICE the first of its spans


@cython.final
cdef class Template:
    cdef readonly size_t most     # bytes of the longest message
    cdef readonly size_t least    # and of the shortest one
    cdef readonly bint timed      # it has a field of time
    cdef readonly bint numbered   # it has {{seq}}
    cdef Part *parts              # in the order in which they stand
    cdef size_t count             # how many
    cdef Span *spans              # of all parts, one behind the other
    cdef bytes text               # what the spans are of
    cdef const uint8_t *first     # its first byte
    cdef uint64_t seed            # of the random fields
    cdef uint32_t worker          # number of the generator process
    cdef uint64_t epoch_ns        # Unix time at the zero of CLOCK_MONOTONIC

    # Write a message to `out`, where there is room for `most` bytes, and return its size. The
    # same numbers and the same time (CLOCK_MONOTONIC) give the same message.
    cdef size_t render(
        self, uint8_t *out, uint32_t sequence, uint32_t number, uint64_t due_ns
    ) noexcept nogil

    # Write one part, and return its size; `random` is the state of the message's generator.
    cdef size_t write(
        self,
        const Part *part,
        uint8_t *out,
        uint32_t sequence,
        uint32_t number,
        uint64_t due_ns,
        uint64_t *random,
    ) noexcept nogil
    # Take over what `parse` found; `fill` one part of it, and returns how many spans it takes.
    cdef int compile(self, list parts) except -1
    cdef int fill(self, Part *part, object kind, tuple values, size_t span) except -1
    # The state from which the random fields of a message follow.
    cdef uint64_t random_of(self, uint32_t sequence, uint32_t number) noexcept nogil
