"""The sans-I/O protocol at C level: subclass Connection and override its on_ methods."""

from libc.stdint cimport uint8_t, uint32_t

from wsfast.buffer cimport Buffer
from wsfast.receiver cimport Receiver
from wsfast.utf8 cimport Utf8State


cdef class Connection(Receiver):
    cdef object masking_keys              # injected source of keys (tests), or None
    cdef list events                      # of the receive() under way

    # what leaves
    cdef Buffer outgoing                  # frames to send, for the sans-I/O user; None: nothing
    cdef bytes pong                       # payload of the newest ping not answered yet, or None
    cdef uint8_t sending_opcode           # of the fragmented message that we send; 0: none
    cdef bint sending_encoded             # it goes through the extension
    cdef Utf8State sending_utf8           # validator of our own fragmented text

    # the closing handshake (7.1)
    cdef readonly bint close_sent         # our Close frame is queued: nothing may follow it
    cdef readonly bint failed             # we failed the connection (7.1.7)
    cdef bint finished                    # on_close was called

    # what arrived (beside on_message and on_assembled, see Receiver)
    cdef int on_ping(self, bytes payload) except -1       # its pong is queued
    cdef int on_pong(self, bytes payload) except -1
    cdef int on_close(self, int close_code, str reason) except -1         # exactly once, the last
    cdef int receive_end(self) except -1                  # the transport ended

    # sending; local misuse raises LocalProtocolError and changes nothing
    cdef Buffer output(self)                              # where frames are written to
    cdef bint output_is_full(self) noexcept               # pongs wait, and only the newest is kept
    cdef int write_pong(self) except -1                   # the pong that waits, if any
    cdef int send_message(self, object message) except -1         # str: text, bytes-like: binary
    cdef int send_payload(self, int opcode, const uint8_t *payload, size_t size) except -1
    cdef int send_part(self, int opcode, object data, bint fin) except -1     # see 5.4
    cdef int send_control(self, int opcode, const uint8_t *payload, size_t size) except -1
    cdef int start_close(self, int close_code, str reason) except -1      # queue our Close

    # private
    cdef int on_close_frame(self, const uint8_t *payload, size_t size) except -1
    cdef int finish(self, int close_code, str reason) except -1
    cdef int write_frame(self, int first_byte, const uint8_t *payload, size_t size) except -1
    cdef int take_key(self, uint32_t *key) except -1
    cdef int write_close(self, const uint8_t *payload, size_t size) except -1
    cdef int require_open(self) except -1
    cdef int send_buffer(self, int opcode, object data, bint fin) except -1
    cdef int send_fragment(self, int opcode, const uint8_t *data, size_t size, bint fin) except -1
    cdef int write_encoded(
        self, int opcode, const uint8_t *data, size_t size, bint first, bint fin
    ) except -1


# Unmask and convert what on_message got: str (None: it is not UTF-8) or bytes.
cdef object message_from(int opcode, const uint8_t *payload, size_t size, uint32_t key)
