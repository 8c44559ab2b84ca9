"""The payload of the messages: a stamp that tells them apart, and a rest that they share."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum Verify:
    NOTHING                       # any message is an answer
    LENGTH                        # one of the right type and length
    CONTENT                       # the very message that was sent


@cython.final
cdef class Payload:
    cdef readonly int opcode      # of every message
    cdef readonly size_t size     # of the longest payload, in bytes
    cdef readonly size_t least    # of the shortest one, if sizes vary evenly; else `size`
    cdef readonly double mean     # of exponentially distributed sizes; else 0
    cdef size_t stamped_bytes     # of every message: 8, or 0 if all are the same
    cdef Verify verify            # what makes a message an answer
    cdef uint8_t *message         # the payload; the stamp is written over its first bytes

    # The size of one message.
    cdef size_t size_of(self, uint32_t sequence, uint32_t number) noexcept nogil

    # The bytes to send, of which `size_of` count; valid until the next call.
    cdef const uint8_t *stamped(self, uint32_t sequence, uint32_t number) noexcept nogil

    # Whether a message passes for the answer to the one with that stamp.
    cdef bint is_answer(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t sequence, uint32_t number
    ) noexcept nogil

    # Whether `size` bytes are exactly the first ones of what was sent with that stamp.
    cdef bint is_echo(
        self, const uint8_t *payload, size_t size, uint32_t sequence, uint32_t number
    ) noexcept nogil

    # The eight bytes of the stamp, as a number that memcpy writes.
    cdef uint64_t stamp(self, uint32_t sequence, uint32_t number) noexcept nogil
