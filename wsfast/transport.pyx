# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; a transport belongs to the thread of its loop)
"""One socket on a loop: gathers what is sent, and queues what the kernel does not take.

What is sent during the transport's own turn gathers in the loop's cork; what is sent outside of it
gathers in its queue, and leaves when the selector's batch ends. What the kernel does not take
stays in the queue; then WRITABLE is asked for, and above the high-water mark reading stops.

Readiness is edge-triggered: epoll polls every socket of a level-triggered batch a second time. A
read that may have left something asks to be told again.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from posix.unistd cimport close

from wsfast.loop cimport CORK_BYTES, RECEIVE_BYTES
from wsfast.selector cimport EDGE, READABLE, WRITABLE

import socket

from wsfast.rfc6455 import Role

cdef extern from *:
    """
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    static ssize_t ws_send_two(int fd, const void *first, size_t first_size,
                               const void *second, size_t second_size) {
        struct iovec parts[2] = {{(void *)first, first_size}, {(void *)second, second_size}};
        struct msghdr message = {0};
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        return sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    """
    int SHUT_WR, SHUT_RDWR
    int MSG_NOSIGNAL
    Py_ssize_t recv(int fd, void *data, size_t size, int flags) nogil
    Py_ssize_t send(int fd, const void *data, size_t size, int flags) nogil
    int shutdown(int fd, int how) nogil
    Py_ssize_t ws_send_two(int fd, void *first, size_t first_size, void *second, size_t size) nogil

__all__ = ["Transport"]

cdef object CLIENT = Role.CLIENT


cdef inline Py_ssize_t taken(int fd, Py_ssize_t sent, size_t size) noexcept nogil:
    """How many bytes the kernel took; on a broken socket all, and reading finds the end."""
    if sent >= 0:
        return sent
    if errno == EAGAIN or errno == EINTR:
        return 0
    shutdown(fd, SHUT_RDWR)  # for lack of memory it may still work, with a gap in the stream
    return <Py_ssize_t>size


cdef inline Py_ssize_t transmit(int fd, const uint8_t *data, size_t size) noexcept nogil:
    return taken(fd, send(fd, data, size, MSG_NOSIGNAL), size)


cdef class Transport(Stream):
    """A non-blocking socket; an endpoint adds the protocol."""

    def __cinit__(self, Settings settings not None, *args, **kwargs):
        self.settings = settings
        self.loop = settings.loop

    @property
    def buffered_bytes(self):
        """Bytes that wait until the peer reads."""
        return self.held()

    @property
    def remote_address(self):
        """The peer's address as the socket module gives it, or None once closed."""
        return self.address(socket.socket.getpeername)

    @property
    def local_address(self):
        """Our address as the socket module gives it, or None once closed."""
        return self.address(socket.socket.getsockname)

    def at_close(self, callback):
        """Have callback() called once, when the socket is closed; at once, if it is."""
        if self.fd < 0:
            callback()
        else:
            self.closed_callback = callback

    cdef object address(self, object question):
        if self.fd < 0:
            return None
        borrowed = socket.socket(fileno=self.fd)  # no duplicate: there may be no descriptor left
        try:
            return question(borrowed)
        except OSError:
            return None
        finally:
            borrowed.detach()

    cdef size_t queued(self) noexcept:
        return 0 if self.queue is None else self.queue.end - self.queue.start

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
        return recv(self.fd, incoming.data, RECEIVE_BYTES, 0)

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
        cdef Py_ssize_t sent = ws_send_two(self.fd, cork.data, held, <void *>payload, size)
        sent = taken(self.fd, sent, held + size)
        cork.end = 0
        self.settings.counters.bytes_sent += <size_t>sent
        if <size_t>sent < held:
            self.enqueue(cork.data + sent, held - sent)
            return self.enqueue(payload, size)
        sent -= held
        return self.enqueue(payload + sent, size - sent)

    cdef int flush_cork(self) except -1:
        cdef Buffer cork = self.loop.cork
        cdef size_t size = cork.end
        cdef Py_ssize_t sent
        cork.end = 0
        if size and self.fd >= 0:
            sent = transmit(self.fd, cork.data, size)
            self.settings.counters.bytes_sent += <size_t>sent
            self.enqueue(cork.data + sent, size - sent)
        elif self.blocked:
            self.update_interest()  # this turn's went to the queue: it may be above high water now
        if cork.capacity > 4 * CORK_BYTES:
            cork.release()
        return 0

    cdef int enqueue(self, const uint8_t *data, size_t size) except -1:
        """Keep what the kernel did not take, and wait until it does."""
        if size:
            if self.queue is None:
                self.queue = Buffer()
            self.queue.append(data, size)
            self.blocked = True
            self.update_interest()
        return 0

    cdef int flush_queue(self) except -1:
        cdef Buffer queue = self.queue
        cdef size_t sent
        if queue is not None:
            if self.queued() > self.settings.high_water_bytes:
                self.paused = True  # whoever saw so much waits for on_drained
            sent = transmit(self.fd, queue.data + queue.start, queue.end - queue.start)
            self.settings.counters.bytes_sent += sent
            queue.consume(sent)
            self.blocked = queue.end != queue.start
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
        if not self.paused or self.lingering or self.settings.role is CLIENT:
            interest |= 0 if self.ended else READABLE
        return self.loop.selector.set_interest(self, interest)

    cdef int on_drained(self) except -1:
        return 0

    # --- the end ---------------------------------------------------------------------------

    cdef int shut_down(self) except -1:
        self.lingering = True
        shutdown(self.fd, SHUT_WR)
        return self.update_interest()

    cdef int close_socket(self) except -1:
        cdef int fd = self.fd
        if fd >= 0:
            self.loop.selector.remove_stream(self)
            close(fd)
            self.queue = None
            self.backlog = None
            self.account()
            callback, self.closed_callback = self.closed_callback, None
            if callback is not None:
                callback()
            self.on_detached()
        return 0

    cdef int on_detached(self) except -1:
        return 0
