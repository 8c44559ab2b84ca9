# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
"""The echo without a Python object per message: payloads go from read to cork in one pass."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t

from wsfast.buffer cimport Buffer
from wsfast.frame cimport write_header
from wsfast.mask cimport mask_copy, mask_in_place
from wsfast.receiver cimport TEXT
from wsfast.transport cimport count_message_sent
from wsfast.utf8 cimport Utf8State, unmask_utf8

from wsfast.rfc6455 import CloseCode

__all__ = ["EchoEndpoint"]

cdef enum:
    FIN_BIT = 0x80
    LARGE_BYTES = 128 * 1024      # from here on a payload is unmasked and sent from where it lies

cdef int INVALID_DATA = CloseCode.INVALID_FRAME_PAYLOAD_DATA


@cython.final
cdef class EchoEndpoint(Endpoint):
    """Sends every message back as it came."""

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        cdef Utf8State text
        cdef Buffer out
        cdef uint8_t *target
        if self.connection.close_sent:
            return 0
        if opcode == TEXT:
            text.pending = 0
            if unmask_utf8(&text, <uint8_t *>payload, payload, size, key) != size or text.pending:
                return self.connection.fail(INVALID_DATA, "text is not UTF-8 (RFC 6455 8.1)")
            key = 0
        if size >= LARGE_BYTES:
            mask_in_place(<uint8_t *>payload, size, key)
            return self.connection.send_payload(opcode, payload, size)
        out = self.output()
        target = out.reserve(size + 14)
        target += write_header(target, <uint8_t>(FIN_BIT | opcode), size, False, 0)
        mask_copy(target, payload, size, key)
        out.end = target + size - out.data
        count_message_sent(self)
        return 0

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        if self.connection.close_sent:
            return 0
        return self.connection.send_payload(
            opcode, <const uint8_t *>PyBytes_AS_STRING(payload), len(payload)
        )
