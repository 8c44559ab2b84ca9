# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; a session belongs to the thread of its transport)
"""One TLS session over CPython's ssl module: records in, plaintext out, and the reverse.

No I/O: the transport receives records and sends what comes out. The session is an `ssl.SSLObject`
between two `ssl.MemoryBIO`s, called at the level below its Python class, whose methods only pass
their arguments on. A turn of an open connection costs five calls: write what was received, read
the plaintext, ask whether more is left, write the answer, read its records. None of them raises:
a read that would find nothing is not made, because OpenSSL takes from a MemoryBIO whatever it can
make use of, part of a record as well, and what is left is at least the start of another record.

Received records and their plaintext share one block. The plaintext is written from its start, the
records lie HEADROOM_BYTES behind: plaintext is never longer than its records, and at most one
record of 16 KiB and its overhead is held from before, so the plaintext never reaches a record that
was not fed yet, and there is always room for a whole record.

Rules: RFC 8446 5.1 (records of at most 16 KiB), 6.1 (close_notify ends one direction), 4.6
(tickets and key updates come at any time; OpenSSL answers them with what is written next). A peer
that renegotiates (RFC 5246 7.4.1.1) is refused.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from wsfast.buffer cimport Buffer

import ssl
import sys

__all__ = ["TlsSession"]

cdef enum:
    # A MemoryBIO keeps the largest block that it ever needed: no more than this is put in at once.
    FEED_BYTES = 64 * 1024
    # What OpenSSL 3.0 holds for a session after its handshake, beside the MemoryBIOs, by glibc's
    # mallinfo2 over hundreds of them, TLS 1.2 and 1.3: a client keeps the server's certificates.
    SERVER_BYTES = 14 * 1024
    CLIENT_BYTES = 20 * 1024

# Within the calls Python's signal handlers run. If one raises, what the call had in hand is lost.
cdef str INTERRUPTED = "interrupted by an exception of a signal handler"

cdef object SSLError = ssl.SSLError
cdef object SSLWantReadError = ssl.SSLWantReadError


cdef inline size_t grown(size_t size) noexcept:
    """What a MemoryBIO takes for so many bytes: BUF_MEM_grow of OpenSSL adds a third."""
    return (size + 3) // 3 * 4 if size else 0


@cython.final
cdef class Window:
    """A stretch of memory that the ssl module reads or fills within one call."""

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)


@cython.final
cdef class TlsSession:
    """One TLS connection; `ws.tls` of an open one.

    Args:
        context: an `ssl.SSLContext`.
        server_side: whether we are the server.
        server_hostname: whom a client wants to speak with: name or address, for SNI and for the
            check of the certificate; None if the context checks no name.

    Attributes:
        ssl_object: the `ssl.SSLObject`.
        established: whether the handshake is over.
        error: the `ssl.SSLError` that ended the session, or None.

    Raises:
        ValueError: the context does not go with the role or the name.
    """

    def __init__(self, context, *, server_side, server_hostname=None):
        if not server_side and context.check_hostname and server_hostname is None:
            raise ValueError("the context checks the server's name, and server_hostname is None")
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self.incoming, self.outgoing, server_side, server_hostname
        )
        self.core = self.ssl_object._sslobj
        self.window = Window.__new__(Window)

    # --- for Python ------------------------------------------------------------------------

    @property
    def version(self):
        """The protocol, as "TLSv1.3"; None before the handshake is over."""
        return self.ssl_object.version()

    @property
    def cipher(self):
        """The name of the cipher, as "TLS_AES_256_GCM_SHA384"; None before."""
        cipher = self.ssl_object.cipher()
        return None if cipher is None else cipher[0]

    @property
    def alpn(self):
        """The application protocol that was agreed on (RFC 7301), as "http/1.1", or None."""
        return self.ssl_object.selected_alpn_protocol()

    @property
    def peer_certificate(self):
        """The peer's verified certificate as `ssl.SSLSocket.getpeercert` gives it.

        None if it sent none, an empty dict if it was not verified.
        """
        return self.ssl_object.getpeercert() if self.established else None

    def memory(self):
        """Bytes of user memory that the session holds, an estimate: OpenSSL does not tell.

        Counted are the Python objects; what OpenSSL holds, by a figure that was measured (14 KiB
        on a server, 20 KiB on a client; certificates of clients come on top, and versions differ);
        both MemoryBIOs, which keep the largest block that they ever needed; and the records that
        wait to be sent. Not counted: 17 KiB while a record has come in part.
        """
        return self.held()

    cdef size_t held(self) except? 0:
        cdef size_t size = SERVER_BYTES if self.ssl_object.server_side else CLIENT_BYTES
        for each in (self, self.ssl_object, self.core, self.incoming, self.outgoing, self.window):
            size += sys.getsizeof(each)
        if self.sealed is not None:
            size += sys.getsizeof(self.sealed) + self.sealed.capacity
        return size + grown(self.most_incoming) + grown(self.most_outgoing)

    # --- the handshake ---------------------------------------------------------------------

    cdef int advance(self) except -1:
        try:
            self.core.do_handshake()
            self.established = True
        except SSLWantReadError:
            pass
        except SSLError as error:
            self.error = error
        return 0

    cdef bint is_over(self) noexcept:
        return self.ended or self.error is not None

    # --- receiving -------------------------------------------------------------------------

    cdef Py_ssize_t decrypt(self, Buffer block, size_t size) except -1:
        cdef size_t fed = 0
        cdef size_t used = 0
        cdef size_t part
        while fed < size and self.error is None:
            part = min(size - fed, <size_t>FEED_BYTES)
            self.feed(block.data + HEADROOM_BYTES + fed, part)
            fed += part
            if not self.established:
                self.advance()
                if not self.established or not self.incoming.pending:
                    continue
            used += self.read_records(block.data + used, HEADROOM_BYTES + fed - used)
        return used

    cdef int feed(self, uint8_t *data, size_t size) except -1:
        self.window.data = data
        self.window.size = size
        self.incoming.write(self.window)
        self.most_incoming = max(self.most_incoming, size)
        return 0

    cdef Py_ssize_t read_records(self, uint8_t *target, size_t room) except -1:
        cdef Window window = self.window
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t count
        window.data = target
        window.size = room
        try:
            while not self.ended:
                count = self.core.read(<Py_ssize_t>window.size, window)
                self.ended = count == 0
                used += count
                if not self.incoming.pending:
                    break
                window.data += count
                window.size -= count
        except SSLWantReadError:
            pass
        except SSLError as error:
            self.error = error
        except BaseException:
            self.error = SSLError(INTERRUPTED)
            raise
        return used

    # --- sending ---------------------------------------------------------------------------

    cdef bytes encrypt(self, const uint8_t *data, size_t size):
        self.window.data = <uint8_t *>data
        self.window.size = size
        if self.error is not None:
            return None
        try:
            self.core.write(self.window)
        except SSLError as error:
            self.error = error
            return None
        except BaseException:
            self.error = SSLError(INTERRUPTED)
            raise
        return self.drain_outgoing()

    cdef bytes take_records(self):
        return self.drain_outgoing()

    cdef bytes drain_outgoing(self):
        cdef bytes records = self.outgoing.read()
        self.most_outgoing = max(self.most_outgoing, <size_t>PyBytes_GET_SIZE(records))
        return records

    cdef bytes close_notify(self):
        if self.closed or not self.established or self.error is not None:
            return b""
        self.closed = True
        try:
            self.core.shutdown()  # it also looks for the peer's, which mostly is not there yet
        except SSLError:
            pass
        return self.drain_outgoing()
