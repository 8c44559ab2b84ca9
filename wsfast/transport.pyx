# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; a transport belongs to the thread of its loop)
"""One socket on a loop: gathers what is sent, and queues what the kernel does not take.

What is sent during the transport's own turn gathers in the loop's cork; what is sent outside of it
gathers in its queue, and leaves when the selector's batch ends. What the kernel does not take
stays in the queue; then WRITABLE is asked for, and above the high-water mark reading stops.

Readiness is edge-triggered: epoll polls every socket of a level-triggered batch a second time. A
read that may have left something asks to be told again.

With TLS a session stands between. What is received is decrypted at once and in full, so nothing is
ever left where epoll cannot see it. What is sent is encrypted when the kernel is ready for it: the
queue holds plaintext, but for the records that the kernel did not take (`session.sealed`), which
go first. While there are any, there is a queue, though it may be empty.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport free
from posix.unistd cimport close

from wsfast.loop cimport CORK_BYTES, RECEIVE_BYTES
from wsfast.poller cimport clock_ns
from wsfast.selector cimport EDGE, READABLE, WRITABLE
from wsfast.tls cimport HEADROOM_BYTES, TlsSession

import functools
import logging
import socket

from wsfast.rfc6455 import Role

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <errno.h>
    #include <netdb.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    static Py_ssize_t ws_nothing_yet(void) {
        errno = EAGAIN;
        return -1;
    }
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    /* Host and numbers (port; IPv6: flow and scope) of an address: 4, 6, 0 for others, or -1. */
    static int ws_address(int fd, int peer, char *host, size_t size, unsigned int *numbers) {
        struct sockaddr_storage found;
        struct sockaddr_in *four = (struct sockaddr_in *)&found;
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&found;
        struct sockaddr *any = (struct sockaddr *)&found;
        socklen_t length = sizeof found;
        if (peer ? getpeername(fd, any, &length) : getsockname(fd, any, &length)) {
            return -1;
        }
        if (found.ss_family == AF_INET) {
            numbers[0] = ntohs(four->sin_port);
            return inet_ntop(AF_INET, &four->sin_addr, host, (socklen_t)size) ? 4 : -1;
        }
        if (found.ss_family == AF_INET6) {
            numbers[0] = ntohs(six->sin6_port);
            numbers[1] = ntohl(six->sin6_flowinfo);
            numbers[2] = six->sin6_scope_id;
            int failed = getnameinfo(any, length, host, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
            return failed ? -1 : 6;
        }
        return 0;
    }
    static ssize_t ws_send_two(int fd, const void *first, size_t first_size,
                               const void *second, size_t second_size) {
        struct iovec parts[2] = {{(void *)first, first_size}, {(void *)second, second_size}};
        struct msghdr message = {0};
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        return sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    """
    int MSG_PEEK, SHUT_WR, SHUT_RDWR
    Py_ssize_t ws_nothing_yet() nogil
    int MSG_NOSIGNAL
    Py_ssize_t recv(int fd, void *data, size_t size, int flags) nogil
    Py_ssize_t send(int fd, const void *data, size_t size, int flags) nogil
    int shutdown(int fd, int how) nogil
    int ws_address(int fd, bint peer, char *host, size_t size, unsigned int *numbers) nogil
    Py_ssize_t ws_send_two(int fd, void *first, size_t first_size, void *second, size_t size) nogil

__all__ = ["Transport"]

cdef enum:
    SEAL_BYTES = 64 * 1024        # plaintext that is encrypted and sent at a time
    PREFACE_BYTES = 4096          # of what may stand before TLS, looked at at a time

cdef object CLIENT = Role.CLIENT

_log = logging.getLogger("wsfast")


cdef Py_ssize_t refused(int fd, int error, size_t size) noexcept nogil:
    if error == EAGAIN or error == EINTR:
        return 0
    shutdown(fd, SHUT_RDWR)  # for lack of memory it may still work, with a gap in the stream
    return <Py_ssize_t>size


cdef inline Py_ssize_t taken(int fd, Py_ssize_t sent, size_t size) noexcept nogil:
    return sent if sent >= 0 else refused(fd, errno, size)


def call_both(first, second):
    try:
        first()
    finally:
        second()


cdef int keep(Transport self, const uint8_t *data, size_t size) except -1:
    """The rare half of `enqueue`: apart, the other one needs no registers."""
    if self.queue is None:
        self.queue = Buffer()
    self.queue.append(data, size)
    self.blocked = True
    return self.update_interest()


cdef class Transport(Stream):
    """A non-blocking socket; an endpoint adds the protocol."""

    def __cinit__(self, Settings settings not None, *args, **kwargs):
        self.settings = settings
        self.loop = settings.loop

    def __dealloc__(self):
        free(self.tally)

    @property
    def secure(self):
        """Whether TLS stands between the socket and the protocol."""
        return self.session is not None

    @property
    def tls(self):
        """The `TlsSession`: version, cipher, ALPN, the peer's certificate; None without TLS."""
        return self.session

    @property
    def buffered_bytes(self):
        """Bytes that wait until the peer reads."""
        return self.held()

    @property
    def remote_address(self):
        """The peer's address as the socket module gives it, or None once closed."""
        return self.address(True)

    @property
    def local_address(self):
        """Our address as the socket module gives it, or None once closed."""
        return self.address(False)

    def at_close(self, callback):
        """Have callback() called once, when the socket is closed; at once, if it is.

        Several are called in the order in which they were given. What they raise is logged.
        """
        if self.fd < 0:
            callback()
        elif self.closed_callback is None:
            self.closed_callback = callback
        else:
            self.closed_callback = functools.partial(call_both, self.closed_callback, callback)

    cdef object address(self, bint peer):
        cdef char host[64]
        cdef unsigned int numbers[3]
        cdef int kind
        if self.fd < 0:
            return None
        kind = ws_address(self.fd, peer, host, sizeof(host), numbers)
        if kind == 4:
            return host.decode("ascii"), numbers[0]
        if kind == 6:
            return host.decode("ascii"), numbers[0], numbers[1], numbers[2]
        if kind < 0:
            return None
        borrowed = socket.socket(fileno=self.fd)  # no duplicate: there may be no descriptor left
        try:
            return borrowed.getpeername() if peer else borrowed.getsockname()
        except OSError:
            return None
        finally:
            borrowed.detach()

    cdef size_t queued(self) noexcept:
        cdef size_t size
        if self.queue is None:
            return 0
        size = self.queue.end - self.queue.start
        if self.session is not None and self.session.sealed is not None:
            size += self.session.sealed.end - self.session.sealed.start
        return size

    cdef size_t held(self) noexcept:
        return self.queued() + (0 if self.backlog is None else self.backlog.bytes)

    cdef void account(self) noexcept:
        cdef size_t held = self.held()
        self.loop.buffered_bytes += held - self.accounted  # modulo 2**64, so also downwards
        self.accounted = held

    cdef bint over_budget(self) noexcept:
        cdef size_t most = self.settings.max_buffered_bytes
        return most != 0 and self.loop.buffered_bytes > most

    # --- receiving -------------------------------------------------------------------------

    cdef Py_ssize_t receive(self, Buffer incoming) except? -1:
        if self.session is not None:
            return self.receive_records(incoming)
        return recv(self.fd, incoming.data, RECEIVE_BYTES, 0)

    cdef Py_ssize_t receive_records(self, Buffer incoming) except? -1:
        """Receive once; the plaintext of it stands at the start of the block then."""
        cdef TlsSession session = self.session
        cdef bint opening = not session.established
        cdef Py_ssize_t room = RECEIVE_BYTES - HEADROOM_BYTES
        cdef Py_ssize_t received, size
        if session.preface:  # what follows it stays where the session, in its turn, receives it
            return recv(self.fd, incoming.data, PREFACE_BYTES, MSG_PEEK)
        if session.is_over():
            return self.session_over()
        if opening and not self.loop.handshakes.take(self, session):
            return ws_nothing_yet()
        received = recv(self.fd, incoming.data + HEADROOM_BYTES, room, 0)
        if received <= 0:
            return received
        size = session.decrypt(incoming, received)
        # Without plaintext the caller takes it for a read that found nothing; and whoever waited
        # for its share did not look at what came in the meantime.
        if received == room or size == 0 or opening:
            self.loop.selector.ask_again(self)
        if opening:
            self.advance_session()
        elif size == 0:
            self.send_records(session.take_records())  # an alert, or what a record asked for
        if session.is_over():
            if size == 0 or self.fd < 0:
                return self.session_over()
            self.loop.selector.at_turn_end(self)  # what stands before the end comes first
        elif size == 0 or self.fd < 0:
            return ws_nothing_yet()
        return size

    cdef int take_off(self, size_t size) except -1:
        cdef uint8_t scratch[PREFACE_BYTES]
        recv(self.fd, scratch, min(size, <size_t>PREFACE_BYTES), 0)
        return self.loop.selector.ask_again(self)

    cdef int start_session(self) except -1:
        self.session.advance()
        return self.advance_session()

    cdef int advance_session(self) except -1:
        """Send what the handshake made, and say so if it is over."""
        self.send_records(self.session.take_records())
        if self.session.established:
            self.on_secured()
        return 0

    cdef Py_ssize_t session_over(self) except? -1:
        """The end of the peer's stream is 0, as for recv; a failure is reported and nothing."""
        if self.session.error is None:
            return 0
        if self.fd >= 0:
            self.send_records(self.session.take_records())  # the alert
            self.on_insecure(self.session.error)
        return ws_nothing_yet()

    cdef int on_secured(self) except -1:
        return 0

    cdef int on_insecure(self, object error) except -1:
        return self.close_socket()

    # --- sending ---------------------------------------------------------------------------

    cdef Buffer output(self):
        if self.queue is None and self.loop.turn is self:
            if self.loop.cork.end > CORK_BYTES:
                self.flush_cork()
            if self.queue is None:
                return self.loop.cork
        if self.queue is None:
            self.queue = Buffer()
        if not self.blocked:
            self.loop.selector.at_turn_end(self)
        return self.queue

    cdef int write_bytes(self, const uint8_t *data, size_t size) except -1:
        return self.output().append(data, size)

    cdef int write_large(self, const uint8_t *payload, size_t size) except -1:
        """Send the cork and a payload that is not copied unless the kernel leaves some of it."""
        cdef Buffer cork = self.loop.cork
        cdef size_t held = cork.end
        cdef Py_ssize_t sent = 0
        if self.session is not None:
            self.flush_cork()
            if self.queue is None:
                sent = self.transmit(payload, size)
            count_sent(self, <size_t>sent)
            return self.enqueue(payload + sent, size - sent)
        sent = ws_send_two(self.fd, cork.data, held, <void *>payload, size)
        sent = taken(self.fd, sent, held + size)
        cork.end = 0
        count_sent(self, <size_t>sent)
        if <size_t>sent < held:
            self.enqueue(cork.data + sent, held - sent)
            return self.enqueue(payload, size)
        sent -= held
        return self.enqueue(payload + sent, size - sent)

    cdef Py_ssize_t transmit(self, const uint8_t *data, size_t size) except -1:
        if self.session is not None:
            return self.encrypt_and_send(data, size)
        return taken(self.fd, send(self.fd, data, size, MSG_NOSIGNAL), size)

    cdef Py_ssize_t encrypt_and_send(self, const uint8_t *data, size_t size) except -1:
        """Encrypt no more than the kernel takes, but for the records of SEAL_BYTES."""
        cdef TlsSession session = self.session
        cdef size_t done = 0
        cdef size_t part
        cdef bytes records
        if session.sealed is not None:
            self.send_sealed()
        while done < size and session.sealed is None:
            part = min(size - done, <size_t>SEAL_BYTES)
            try:
                records = session.encrypt(data + done, part)
            except BaseException:  # of a signal handler: the turn does not come to its end
                self.loop.turn = None
                raise
            if records is None:
                shutdown(self.fd, SHUT_RDWR)  # as for a broken socket: reading finds the end
                return size
            self.send_records(records)
            done += part
        return done

    cdef int send_records(self, bytes records) except -1:
        """Send records; those that the kernel does not take wait in front of the queue."""
        cdef TlsSession session = self.session
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(records)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(records)
        cdef Py_ssize_t sent = 0
        if not size:
            return 0
        if session.sealed is None:
            sent = taken(self.fd, send(self.fd, data, size, MSG_NOSIGNAL), size)
        if sent < size:
            if session.sealed is None:
                session.sealed = Buffer()
            session.sealed.append(data + sent, size - sent)
            self.enqueue(NULL, 0)
        return 0

    cdef int send_sealed(self) except -1:
        """Send the records that wait, as far as the kernel takes them."""
        cdef Buffer sealed = self.session.sealed
        cdef size_t size = sealed.end - sealed.start
        sealed.consume(
            taken(self.fd, send(self.fd, sealed.data + sealed.start, size, MSG_NOSIGNAL), size)
        )
        if sealed.end == sealed.start:
            self.session.sealed = None
        return 0

    cdef int flush_cork(self) except -1:
        cdef Buffer cork = self.loop.cork
        cdef size_t size = cork.end
        cork.end = 0
        if size and self.fd >= 0:
            self.finish_send(cork.data, size, self.transmit(cork.data, size))
        elif self.blocked:
            self.update_interest()  # this turn's went to the queue: it may be above high water now
        if cork.capacity > 4 * CORK_BYTES:
            cork.release()
        return 0

    cdef int finish_send(self, const uint8_t *data, size_t size, Py_ssize_t sent) except -1:
        count_sent(self, <size_t>sent)
        return self.enqueue(data + sent, size - sent)

    cdef int enqueue(self, const uint8_t *data, size_t size) except -1:
        """Keep what the kernel did not take, and wait until it does."""
        if not size and (self.session is None or self.session.sealed is None):
            return 0
        return keep(self, data, size)

    cdef int flush_queue(self) except -1:
        cdef Buffer queue = self.queue
        cdef size_t sent
        if queue is not None:
            if self.queued() > self.settings.high_water_bytes:
                self.paused = True  # whoever saw so much waits for on_drained
            sent = self.transmit(queue.data + queue.start, queue.end - queue.start)
            count_sent(self, sent)
            queue.consume(sent)
            self.blocked = self.queued() != 0
            if not self.blocked:
                self.queue = None
            try:
                if not self.blocked or (
                    self.paused and self.queued() <= self.settings.low_water_bytes
                ):
                    self.on_drained()
            finally:
                self.update_interest()
        return 0

    cdef int update_interest(self) except -1:
        cdef size_t held
        if self.fd < 0:
            return 0
        self.account()
        held = self.accounted
        if held > self.settings.high_water_bytes or (held and self.over_budget()):
            self.paused = True
        elif held <= self.settings.low_water_bytes:
            self.paused = False
        cdef uint32_t interest = EDGE | WRITABLE if self.blocked else EDGE
        # A client goes on reading: if both ends stopped, neither would ever read again.
        cdef bint reading = not self.paused or self.settings.role is CLIENT
        if self.lingering or (reading and not self.halts):
            interest |= 0 if self.ended else READABLE
        if (interest ^ self.interest) & READABLE:
            self.on_reading(interest & READABLE != 0)
        return self.loop.selector.set_interest(self, interest)

    cdef int on_reading(self, bint goes_on) except -1:
        return 0

    cdef int on_drained(self) except -1:
        return 0

    # --- the end ---------------------------------------------------------------------------

    cdef int shut_down(self) except -1:
        self.lingering = True
        self.end_session()
        shutdown(self.fd, SHUT_WR)
        return self.update_interest()

    cdef int close_socket(self) except -1:
        cdef int fd = self.fd
        if fd >= 0:
            self.end_session()
            self.loop.selector.remove_stream(self)
            close(fd)
            if self.tally != NULL:
                self.tally.closed = clock_ns()
            self.queue = None
            self.backlog = None
            self.account()
            place, self.counted_at = self.counted_at, None
            if place is not None:
                place.leave()
            callback, self.closed_callback = self.closed_callback, None
            try:
                if callback is not None:
                    callback()
            except Exception:
                _log.exception("what was to be called at the end of a connection failed")
            finally:
                self.on_detached()
        return 0

    cdef void on_selector_closed(self, int fd) noexcept:
        # Nothing is called: whoever would be has no loop to live on. The peer sees an end.
        if fd >= 0:
            close(fd)
        self.queue = None
        self.backlog = None

    cdef int end_session(self) except -1:
        """Send our close_notify, if everything before it has left: it is the last record."""
        cdef bytes records
        if self.session is not None and self.queue is None:
            records = self.session.close_notify()
            if records:
                send(self.fd, PyBytes_AS_STRING(records), len(records), MSG_NOSIGNAL)
        return 0

    cdef int on_detached(self) except -1:
        return 0
