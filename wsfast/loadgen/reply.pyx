# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; nothing changes once it is made)
"""Which message a reply answers, by what the user says about replies.

By default no such rule is needed: an echo holds the stamp of its message, and is compared as a
whole (wsfast.loadgen.payload). This is for servers that answer with something else.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from wsfast.loadgen.jsonpath cimport JsonPath
from wsfast.loadgen.payload cimport STAMP_BYTES

__all__ = ["WAYS", "Reply"]

#: What `match` begins with.
WAYS = {"order": ORDER, "prefix": PREFIX, "sequence": STAMP, "json": PATH}


cdef bint read_stamp(
    const uint8_t *payload, bint text, uint32_t number, uint32_t *sequence
) noexcept nogil:
    """The sequence number of a stamp; False if it is of another connection, or none."""
    cdef uint64_t stamp, found = 0
    cdef int place
    memcpy(&stamp, payload, STAMP_BYTES)
    if not text:
        sequence[0] = <uint32_t>stamp
        return stamp >> 32 == number
    for place in range(STAMP_BYTES):
        if not 0x30 <= payload[place] < 0x70:
            return False
        found |= <uint64_t>(payload[place] - 0x30) << (6 * place)
    # the low 24 bits: of the numbers that have them, the one next to what was expected
    cdef uint32_t ahead = (<uint32_t>found - sequence[0]) & 0xFFFFFF
    sequence[0] += ahead if ahead < 0x800000 else ahead - 0x1000000
    return found >> 24 == (number & 0xFFFFFF)


@cython.final
cdef class Reply:
    """What tells a reply, and its message.

    Args:
        match: "order": replies come in the order of their messages. "prefix:TEXT": the same, of
            what begins with TEXT. "sequence": it begins with the stamp of its message.
            "json:PATH": the sequence number is there (see `JsonPath`), plain or in a string.
        text: the messages are text, and so are their stamps.

    Raises:
        ValueError: `match` is none of these.
    """

    def __cinit__(self, str match not None, *, bint text=False):
        way, colon, rest = match.partition(":")
        if way not in WAYS or bool(rest) != (way in ("prefix", "json")):
            raise ValueError(f"{match!r} is none of order, sequence, prefix:TEXT and json:PATH")
        self.way = WAYS[way]
        self.text = text
        self.prefix = rest.encode()
        self.first = <const uint8_t *>PyBytes_AS_STRING(self.prefix)
        self.size = <size_t>PyBytes_GET_SIZE(self.prefix)
        self.path = JsonPath(rest) if self.way == PATH else None

    cdef bint find(
        self, const uint8_t *payload, size_t size, uint32_t number, uint32_t *sequence
    ) noexcept nogil:
        cdef uint64_t found
        if self.way == ORDER:
            return True
        if self.way == PREFIX:
            return size >= self.size and memcmp(payload, self.first, self.size) == 0
        if self.way == STAMP:
            return size >= STAMP_BYTES and read_stamp(payload, self.text, number, sequence)
        if not self.path.read_number(payload, payload + size, &found) or found > UINT32_MAX:
            return False
        sequence[0] = <uint32_t>found
        return True

    def sequence_of(self, bytes payload not None, uint32_t number, uint32_t oldest):
        """The sequence number of the message that a payload answers; None: it is no reply.

        Args:
            payload: of the message that came.
            number: of the connection.
            oldest: sequence number of the oldest message under way.
        """
        cdef uint32_t sequence = oldest
        cdef bint found = self.find(
            <const uint8_t *>PyBytes_AS_STRING(payload),
            <size_t>PyBytes_GET_SIZE(payload),
            number,
            &sequence,
        )
        return sequence if found else None
