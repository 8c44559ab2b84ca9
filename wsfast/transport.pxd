"""One socket on a loop: gathers what is sent, and queues what the kernel does not take."""

from libc.stdint cimport int64_t, uint8_t

from wsfast.backlog cimport Backlog
from wsfast.buffer cimport Buffer
from wsfast.loop cimport Loop
from wsfast.selector cimport Stream
from wsfast.settings cimport Settings, Tally
from wsfast.tls cimport TlsSession


cdef class Transport(Stream):
    cdef readonly Settings settings       # shared with its siblings
    cdef Loop loop                        # settings.loop, one step nearer
    cdef Buffer queue                     # bytes that wait to be sent; None: none
    cdef TlsSession session               # TLS between socket and protocol; None: plain
    cdef Tally *tally                     # what went over it; NULL: not counted
    cdef Backlog backlog                  # messages that wait behind it; None: none
    cdef size_t accounted                 # how much of both loop.buffered_bytes has
    cdef bint blocked                     # the kernel took less than all: waiting for WRITABLE
    cdef bint paused                      # reading stopped at the high-water mark
    cdef uint8_t halts                    # who asked for reading to stop, as bits; see Opened
    cdef uint8_t draining                 # on_drain of the handler is being called
    cdef uint8_t drain_due                # ... and has to be once more, later
    cdef bint lingering                   # shut down for writing; what still comes is thrown away
    cdef object closed_callback           # called once when the socket is closed, or None
    cdef public object counted_at         # its wsfast.admission.Place; None: it has none
    cdef bint ended                       # the peer sends nothing more; it may still read

    # sending: gathered, and written once at the end of the turn
    cdef Buffer output(self)              # where the next bytes go
    cdef int write_bytes(self, const uint8_t *data, size_t size) except -1
    cdef int write_large(self, const uint8_t *data, size_t size) except -1    # no copy; in turn on
    cdef int flush_cork(self) except -1   # send what was gathered in this turn
    cdef int flush_queue(self) except -1  # send what was gathered outside of it, or left over
    # what the kernel took of it, all on a broken socket; with TLS: what was encrypted
    cdef Py_ssize_t transmit(self, const uint8_t *data, size_t size) except -1
    # after a send, whoever made it: the kernel took `sent` of those bytes, the rest waits
    cdef int finish_send(self, const uint8_t *data, size_t size, Py_ssize_t sent) except -1
    cdef size_t queued(self) noexcept     # bytes in the queue, encrypted ones included
    cdef size_t held(self) noexcept       # bytes in queue and backlog
    cdef void account(self) noexcept      # after they changed
    cdef bint over_budget(self) noexcept  # all connections of the loop hold too much

    # receiving
    cdef Py_ssize_t receive(self, Buffer incoming) except? -1     # 0: the end; -1: errno says
    cdef int take_off(self, size_t size) except -1        # the socket: what was peeked at
    cdef int start_session(self) except -1        # begin the handshake of `session` (clients)
    cdef int update_interest(self) except -1      # after paused, blocked or lingering changed

    # the end
    cdef int shut_down(self) except -1    # say that nothing more comes; throw away what still does
    cdef int close_socket(self) except -1         # now; a second call does nothing

    # for subclasses
    cdef int on_reading(self, bint goes_on) except -1     # reading goes on, or pauses
    cdef int on_drained(self) except -1   # the queue is empty, or paused and at low water, again
    cdef int on_secured(self) except -1   # the TLS handshake is over
    cdef int on_insecure(self, object error) except -1    # TLS failed, with this ssl.SSLError
    cdef int on_detached(self) except -1  # the socket was closed

    # private
    cdef int enqueue(self, const uint8_t *data, size_t size) except -1
    cdef object address(self, bint peer)
    cdef Py_ssize_t receive_records(self, Buffer incoming) except? -1
    cdef int advance_session(self) except -1
    cdef int send_records(self, bytes records) except -1
    cdef int send_sealed(self) except -1
    cdef Py_ssize_t encrypt_and_send(self, const uint8_t *data, size_t size) except -1
    cdef Py_ssize_t session_over(self) except? -1
    cdef int end_session(self) except -1


# How many bytes of a send that failed so are done with; on a broken socket all: reading finds the
# end.
cdef Py_ssize_t refused(int fd, int error, size_t size) noexcept nogil


cdef inline void count_received(Transport self, size_t size) noexcept:
    """So many bytes came."""
    self.settings.counters.bytes_received += size
    if self.tally != NULL:
        self.tally.bytes_received += size


cdef inline void count_sent(Transport self, size_t size) noexcept:
    """The kernel took so many bytes."""
    self.settings.counters.bytes_sent += size
    if self.tally != NULL:
        self.tally.bytes_sent += <int64_t>size


cdef inline void count_message_received(Transport self) noexcept:
    self.settings.counters.messages_received += 1
    if self.tally != NULL:
        self.tally.messages_received += 1


cdef inline void count_message_sent(Transport self) noexcept:
    self.settings.counters.messages_sent += 1
    if self.tally != NULL:
        self.tally.messages_sent += 1
