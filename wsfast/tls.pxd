"""One TLS session over CPython's ssl module: records in, plaintext out, and the reverse."""

from libc.stdint cimport uint8_t

from wsfast.buffer cimport Buffer

cdef enum:
    HEADROOM_BYTES = 40 * 1024    # received records lie so far behind the start of their block


cdef class Window:
    # A stretch of memory that the ssl module reads or fills within one call, and does not keep.
    cdef uint8_t *data                    # its first byte
    cdef size_t size                      # and its length


cdef class TlsSession:
    cdef readonly object ssl_object       # the ssl.SSLObject: certificates, ciphers, names
    cdef object core                      # what it wraps: the same methods without a Python frame
    cdef object incoming                  # ssl.MemoryBIO that takes what was received
    cdef object outgoing                  # ssl.MemoryBIO that gives what is to be sent
    cdef Window window                    # what `core` and the two above work on
    cdef size_t most_incoming             # the largest number of bytes that each of them held
    cdef size_t most_outgoing
    cdef Buffer sealed                    # records that the kernel did not take; None: none
    cdef bint preface                     # something in clear comes before its first record
    cdef readonly bint established        # the handshake is over: plaintext may go both ways
    cdef bint waiting                     # for its share of the handshakes of a turn
    cdef bint ended                       # the peer's close_notify came: nothing follows
    cdef bint closed                      # ours was made: nothing may follow
    cdef readonly object error            # the ssl.SSLError that ended the session, or None

    cdef bint is_over(self) noexcept      # the peer's stream ended, or the session failed
    # One step of the handshake. Records to send may be there afterwards (take_records).
    cdef int advance(self) except -1
    # Take `size` bytes of records at block.data + HEADROOM_BYTES, put all plaintext that comes of
    # them at block.data; returns how much that is. Look at `error` and `ended` afterwards.
    cdef Py_ssize_t decrypt(self, Buffer block, size_t size) except -1
    # The records for some plaintext, at least one byte; None if the session cannot: see `error`.
    cdef bytes encrypt(self, const uint8_t *data, size_t size)
    cdef bytes take_records(self)         # what is to be sent beside that: handshake, alerts
    cdef size_t held(self) except? 0      # what memory() says
    cdef bytes close_notify(self)         # our close_notify, once (RFC 8446 6.1); b"" if it cannot

    # private
    cdef bytes drain_outgoing(self)       # all that it holds
    cdef int feed(self, uint8_t *data, size_t size) except -1
    cdef Py_ssize_t read_records(self, uint8_t *target, size_t room) except -1
