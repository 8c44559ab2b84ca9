"""The payload of the messages: a stamp that tells them apart, and a rest that they share."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t


@cython.final
cdef class Payload:
    cdef readonly int opcode      # of every message
    cdef readonly size_t size     # of every payload, in bytes
    cdef uint8_t *message         # the payload; the stamp is written over its first bytes
    cdef uint64_t stamp_mask      # the bytes of the stamp that fit into the payload

    # The bytes to send; valid until the next call.
    cdef const uint8_t *stamped(self, uint32_t sequence, uint32_t number) noexcept nogil

    # Whether `size` bytes are exactly what was sent with that stamp.
    cdef bint is_echo(
        self, const uint8_t *payload, uint32_t sequence, uint32_t number
    ) noexcept nogil

    # The eight bytes of the stamp, as a number that memcpy writes.
    cdef uint64_t stamp(self, uint32_t sequence, uint32_t number) noexcept nogil
