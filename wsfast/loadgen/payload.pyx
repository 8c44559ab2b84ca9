# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; one thread owns a payload)
"""The payload of the messages: a stamp that tells them apart, and a rest that they share.

The stamp is the first eight bytes, or as many as there are: for binary messages the sequence
number and the number of the connection, 32 bits each, little-endian; for text eight printable
ASCII characters of six bits each, the low 24 bits of both. An echo is checked in full by
comparing its stamp with the one expected and the rest with the shared rest.

Sizes that vary follow from the stamp as well: the same message always has the same size, so that
nothing about it has to be kept until its answer comes. A template (wsfast.loadgen.template) writes
its messages from these numbers, too: a check writes the message once more.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport log
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from wsfast.loadgen.template cimport Template

from wsfast.rfc6455 import Opcode

__all__ = ["STAMP_SIZE", "Payload"]

#: Bytes of a stamp: what a message must hold to be told apart by it.
STAMP_SIZE = STAMP_BYTES

VERIFY = {"none": NOTHING, "length": LENGTH, "full": CONTENT}

cdef int TEXT = Opcode.TEXT
cdef int BINARY = Opcode.BINARY


cdef inline uint64_t six_bits_each(uint64_t number) noexcept nogil:
    """The low 48 bits as eight characters '0' to 'o', six bits a character."""
    cdef uint64_t text = 0
    cdef int i
    for i in range(STAMP_BYTES):
        text |= (0x30 + (number >> (6 * i) & 0x3F)) << (8 * i)
    return text


cdef inline uint64_t mixed(uint64_t number) noexcept nogil:
    """The number with its bits mixed (the finalizer of splitmix64): equal in, equal out."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9ULL
    number = (number ^ (number >> 27)) * 0x94D049BB133111EBULL
    return number ^ (number >> 31)


@cython.final
cdef class Payload:
    """What the messages of one generator process hold.

    Args:
        content: the bytes of every message, before the stamp is written over the first eight;
            of messages of varying sizes the longest one.
        text: send it as text; the content must then be ASCII.
        least: of sizes that vary evenly, the smallest; None: they do not.
        mean: of sizes that are exponentially distributed (the content is the longest), the mean
            in bytes; None: they are not.
        verify: how an answer is checked: "full", "length", or "none".
        stamped: False: the content is sent as it is, every message the same; then nothing tells
            an answer from its neighbours, and text may be any UTF-8.
        template: writes the messages, which are text; the content and its sizes do not matter.

    Raises:
        ValueError: the content of a text message is not ASCII, the sizes are out of range, or
            `verify` is none of the three.
    """

    def __cinit__(
        self,
        bytes content not None,
        *,
        bint text=False,
        least=None,
        mean=None,
        str verify="full",
        bint stamped=True,
        Template template=None,
    ):
        if verify not in VERIFY:
            raise ValueError(f"verify is {', '.join(VERIFY)}, not {verify!r}")
        if least is not None and not 0 <= least <= len(content):
            raise ValueError(f"the smallest size {least} is not in 0..{len(content)}")
        if mean is not None and not 0 < mean <= len(content):
            raise ValueError(f"the mean size {mean} is not in 1..{len(content)}")
        self.verify = VERIFY[verify]
        self.least = len(content) if least is None else least
        self.mean = 0.0 if mean is None else mean
        self.template = template
        self.size = <size_t>PyBytes_GET_SIZE(content) if template is None else template.most
        self.message = <uint8_t *>malloc(max(self.size, <size_t>STAMP_BYTES))
        if self.message == NULL:
            raise MemoryError(f"no memory for a payload of {self.size} bytes")
        self.opcode = TEXT if text or template is not None else BINARY
        if template is not None:
            return
        memcpy(self.message, PyBytes_AS_STRING(content), self.size)
        self.sized = self.least == self.size and self.mean == 0.0
        self.stamped_bytes = STAMP_BYTES if stamped else 0
        if stamped and text and not content.isascii():
            raise ValueError("the content of a text message must be ASCII")

    def __dealloc__(self):
        free(self.message)

    cdef uint64_t stamp(self, uint32_t sequence, uint32_t number) noexcept nogil:
        if self.opcode == BINARY:
            return <uint64_t>number << 32 | sequence
        return six_bits_each(<uint64_t>number << 24 | (sequence & 0xFFFFFF))

    cdef size_t size_of(self, uint32_t sequence, uint32_t number) noexcept nogil:
        cdef uint64_t random
        random = mixed(<uint64_t>number << 32 | sequence) >> 11
        if self.mean == 0.0:
            return self.least + <size_t>(random % (self.size - self.least + 1))
        return min(self.size, <size_t>(-self.mean * log(<double>(random + 1) / (1ULL << 53))))

    cdef bint is_answer(
        self,
        int opcode,
        const uint8_t *payload,
        size_t size,
        uint32_t sequence,
        uint32_t number,
        uint64_t due_ns,
    ) noexcept nogil:
        if self.verify == NOTHING:
            return True
        if self.template is not None:
            return opcode == self.opcode and self.is_rendered(
                payload, size, sequence, number, due_ns
            )
        if opcode != self.opcode:
            return False
        if size != (self.size if self.sized else self.size_of(sequence, number)):
            return False
        return self.verify == LENGTH or self.is_echo(payload, size, sequence, number)

    cdef bint is_rendered(
        self,
        const uint8_t *payload,
        size_t size,
        uint32_t sequence,
        uint32_t number,
        uint64_t due_ns,
    ) noexcept nogil:
        if not self.template.least <= size <= self.size:
            return False
        if self.template.render(self.message, sequence, number, due_ns) != size:
            return False
        return self.verify == LENGTH or memcmp(payload, self.message, size) == 0

    cdef const uint8_t *write(
        self, uint32_t sequence, uint32_t number, uint64_t due_ns, size_t *size
    ) noexcept nogil:
        cdef uint64_t stamp
        if self.template is not None:
            size[0] = self.template.render(self.message, sequence, number, due_ns)
            return self.message
        stamp = self.stamp(sequence, number)
        memcpy(self.message, &stamp, self.stamped_bytes)
        size[0] = self.size if self.sized else self.size_of(sequence, number)
        return self.message

    cdef bint is_echo(
        self, const uint8_t *payload, size_t size, uint32_t sequence, uint32_t number
    ) noexcept nogil:
        cdef uint64_t expected, found
        if not self.stamped_bytes:
            return memcmp(payload, self.message, size) == 0
        if size < STAMP_BYTES:
            expected = self.stamp(sequence, number)
            return memcmp(payload, &expected, size) == 0
        memcpy(&found, payload, STAMP_BYTES)
        if found != self.stamp(sequence, number):
            return False
        return memcmp(payload + STAMP_BYTES, self.message + STAMP_BYTES, size - STAMP_BYTES) == 0

    def message_bytes(self, uint32_t sequence, uint32_t number, uint64_t due_ns=0):
        """The payload of one message, as bytes.

        Args:
            sequence: of the message on its connection, modulo 2**32.
            number: of the connection, below 2**32.
            due_ns: CLOCK_MONOTONIC when it was meant to leave; matters to a template only.
        """
        cdef size_t size
        cdef const uint8_t *message = self.write(sequence, number, due_ns, &size)
        return PyBytes_FromStringAndSize(<const char *>message, <Py_ssize_t>size)

    def matches(
        self, bytes payload not None, uint32_t sequence, uint32_t number, uint64_t due_ns=0
    ):
        """Whether the bytes pass for the echo of that message; arguments as for message_bytes."""
        return self.is_answer(
            self.opcode,
            <const uint8_t *>PyBytes_AS_STRING(payload),
            <size_t>PyBytes_GET_SIZE(payload),
            sequence,
            number,
            due_ns,
        )
