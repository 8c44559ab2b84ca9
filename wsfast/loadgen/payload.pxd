"""The payload of the messages: a stamp that tells them apart, and a rest that they share."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsfast.loadgen.template cimport Template

cdef enum:
    STAMP_BYTES = 8

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
    cdef bint sized               # all messages of stamped content are of that size
    cdef size_t stamped_bytes     # of every message: 8, or 0 if all are the same
    cdef Verify verify            # what makes a message an answer
    cdef Template template        # what writes the messages; None: they are stamped content
    cdef uint8_t *message         # the payload; the stamp is written over its first bytes

    # The size of one message of stamped content, where sizes vary.
    cdef size_t size_of(self, uint32_t sequence, uint32_t number) noexcept nogil

    # The message to send; valid until the next call. `due_ns` matters to a template with times.
    cdef const uint8_t *write(
        self, uint32_t sequence, uint32_t number, uint64_t due_ns, size_t *size
    ) noexcept nogil

    # Whether a message passes for the answer to the one that was written from these numbers.
    cdef bint is_answer(
        self,
        int opcode,
        const uint8_t *payload,
        size_t size,
        uint32_t sequence,
        uint32_t number,
        uint64_t due_ns,
    ) noexcept nogil

    # The same of a template, whatever the opcode.
    cdef bint is_rendered(
        self,
        const uint8_t *payload,
        size_t size,
        uint32_t sequence,
        uint32_t number,
        uint64_t due_ns,
    ) noexcept nogil

    # Whether `size` bytes are exactly the first ones of what was sent with that stamp.
    cdef bint is_echo(
        self, const uint8_t *payload, size_t size, uint32_t sequence, uint32_t number
    ) noexcept nogil

    # The eight bytes of the stamp, as a number that memcpy writes.
    cdef uint64_t stamp(self, uint32_t sequence, uint32_t number) noexcept nogil
