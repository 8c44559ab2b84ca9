# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; one thread owns a payload)
"""The payload of the messages: a stamp that tells them apart, and a rest that they share.

The stamp is the first eight bytes, or as many as there are: for binary messages the sequence
number and the number of the connection, 32 bits each, little-endian; for text eight printable
ASCII characters of six bits each, the low 24 bits of both. An echo is checked in full by
comparing its stamp with the one expected and the rest with the shared rest.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from wsfast.rfc6455 import Opcode

__all__ = ["Payload"]

cdef enum:
    STAMP_BYTES = 8

cdef int TEXT = Opcode.TEXT
cdef int BINARY = Opcode.BINARY


cdef inline uint64_t six_bits_each(uint64_t number) noexcept nogil:
    """The low 48 bits as eight characters '0' to 'o', six bits a character."""
    cdef uint64_t text = 0
    cdef int i
    for i in range(STAMP_BYTES):
        text |= (0x30 + (number >> (6 * i) & 0x3F)) << (8 * i)
    return text


@cython.final
cdef class Payload:
    """What the messages of one generator process hold.

    Args:
        content: the bytes of every message, before the stamp is written over the first eight.
        text: send it as text; the content must then be ASCII.

    Raises:
        ValueError: the content of a text message is not ASCII.
    """

    def __cinit__(self, bytes content not None, *, bint text=False):
        self.size = <size_t>PyBytes_GET_SIZE(content)
        self.message = <uint8_t *>malloc(max(self.size, <size_t>STAMP_BYTES))
        if self.message == NULL:
            raise MemoryError(f"no memory for a payload of {self.size} bytes")
        memcpy(self.message, PyBytes_AS_STRING(content), self.size)
        if text and not content.isascii():
            raise ValueError("the content of a text message must be ASCII")
        self.opcode = TEXT if text else BINARY
        cdef int unused = STAMP_BYTES - <int>min(self.size, <size_t>STAMP_BYTES)
        self.stamp_mask = UINT64_MAX >> (8 * unused) if unused < STAMP_BYTES else 0

    def __dealloc__(self):
        free(self.message)

    cdef uint64_t stamp(self, uint32_t sequence, uint32_t number) noexcept nogil:
        if self.opcode == BINARY:
            return <uint64_t>number << 32 | sequence
        return six_bits_each(<uint64_t>number << 24 | (sequence & 0xFFFFFF))

    cdef const uint8_t *stamped(self, uint32_t sequence, uint32_t number) noexcept nogil:
        cdef uint64_t stamp = self.stamp(sequence, number)
        memcpy(self.message, &stamp, STAMP_BYTES)
        return self.message

    cdef bint is_echo(
        self, const uint8_t *payload, uint32_t sequence, uint32_t number
    ) noexcept nogil:
        cdef uint64_t found = 0
        if self.size <= STAMP_BYTES:
            memcpy(&found, payload, self.size)
            return ((found ^ self.stamp(sequence, number)) & self.stamp_mask) == 0
        memcpy(&found, payload, STAMP_BYTES)
        if found != self.stamp(sequence, number):
            return False
        return memcmp(
            payload + STAMP_BYTES, self.message + STAMP_BYTES, self.size - STAMP_BYTES
        ) == 0

    def message_bytes(self, uint32_t sequence, uint32_t number):
        """The payload of one message, as bytes.

        Args:
            sequence: of the message on its connection, modulo 2**32.
            number: of the connection, below 2**32.
        """
        return PyBytes_FromStringAndSize(
            <const char *>self.stamped(sequence, number), <Py_ssize_t>self.size
        )

    def matches(self, bytes payload not None, uint32_t sequence, uint32_t number):
        """Whether the bytes are the echo of that message; arguments as for message_bytes."""
        if <size_t>PyBytes_GET_SIZE(payload) != self.size:
            return False
        return self.is_echo(<const uint8_t *>PyBytes_AS_STRING(payload), sequence, number)
