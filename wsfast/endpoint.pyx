# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; an endpoint belongs to the thread of its loop)
"""One socket, one connection and one handler: the only place where loop and protocol meet.

A turn: the selector finds the socket readable, `on_ready` receives once into the loop's buffer,
the connection walks the frames and calls the handler, what the handler sends gathers in the
loop's cork, and the turn ends with one `send`. Below stand the socket (wsfast.transport), the
opening handshake (wsfast.upgrading) and what a handler may do (wsfast.messaging).

The end (RFC 6455 7.1.1): after both Close frames a server closes TCP first; a client waits for
that. After we failed the connection the socket is shut down for writing and drained for a moment,
since closing it over unread bytes would reset it and the peer would never see our Close. Every
wait has a deadline that incoming bytes do not move.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.errno cimport EAGAIN, EINTR, errno
from libc.limits cimport INT_MAX
from libc.string cimport memcpy

from wsfast.buffer cimport Buffer
from wsfast.connection cimport message_from
from wsfast.loop cimport RECEIVE_BYTES
from wsfast.mask cimport mask_in_place
from wsfast.messaging cimport EndpointConnection
from wsfast.poller cimport clock_ns
from wsfast.rates cimport BYTES
from wsfast.receiver cimport BINARY, PING, TEXT
from wsfast.selector cimport HANGUP, READABLE, WRITABLE
from wsfast.settings cimport Settings
from wsfast.timetable cimport DEAD, EXPIRED, HEARTBEAT_BYTES, IDLE, NOTHING, PING_DUE, Due
from wsfast.transport cimport count_received
from wsfast.upgrading cimport CONNECTING, DONE, KEPT, OPEN, OPENING, REFUSED
from wsfast.wheel cimport ws_prefetch

import logging

from wsfast.rfc6455 import CloseCode

cdef extern from *:
    """
    #include <poll.h>
    #include <stdint.h>
    #if defined(__linux__)
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <sys/ioctl.h>
    #endif
    /* Bytes that the kernel took and the peer has not acknowledged; 0 where it does not tell. */
    static int ws_unacknowledged(int fd) {
        int size = 0;
    #if defined(__linux__)
        if (ioctl(fd, TIOCOUTQ, &size)) size = 0;
    #endif
        (void)fd;
        return size;
    }
    /* Whether TCP knows that the peer is gone, without anything being read: both directions are
       shut, as after a reset; or something is under way to it, or its closed window was probed,
       and for so long no segment came back. The kernel's clock is coarse, hence SLACK. */
    static int ws_is_gone(int fd, uint64_t milliseconds) {
        enum { SLACK = 20 };
        struct pollfd look = {fd, 0, 0};
        if (poll(&look, 1, 0) > 0) return 1;
    #if defined(__linux__)
        struct tcp_info info = {0};
        socklen_t size = sizeof info;
        if (!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)) {
            return (info.tcpi_unacked || info.tcpi_probes > 1)
                && info.tcpi_last_ack_recv > milliseconds + SLACK
                && info.tcpi_last_data_recv > milliseconds + SLACK;
        }
    #endif
        (void)milliseconds;
        return 0;
    }
    """
    int ws_unacknowledged(int fd) nogil
    bint ws_is_gone(int fd, uint64_t milliseconds) nogil

__all__ = ["Endpoint"]

cdef enum:
    CONNECTION_BYTES = 192        # of an EndpointConnection

cdef double LINGER_SECONDS = 2.0  # how long a failed connection is drained
cdef int NORMAL_CLOSURE = CloseCode.NORMAL_CLOSURE
cdef int GOING_AWAY = CloseCode.GOING_AWAY
cdef int ABNORMAL_CLOSURE = CloseCode.ABNORMAL_CLOSURE
cdef int INTERNAL_ERROR = CloseCode.INTERNAL_ERROR
cdef int INVALID_DATA = CloseCode.INVALID_FRAME_PAYLOAD_DATA

cdef str PING_TIMEOUT = "keepalive ping timeout"

_log = logging.getLogger("wsfast")


cdef class Endpoint(Messaging):
    """One WebSocket connection on a loop: what a handler gets as `ws`.

    It belongs to the thread of its loop; another one goes through `selector.call_threadsafe`.

    Attributes:
        subprotocol: the negotiated one, str or None.
        state: for the application; wsfast never touches it.
    """

    # --- for Python ------------------------------------------------------------------------

    def open(self, request, trailing, subprotocol=None, extension=None, settings=None):
        """The opening handshake succeeded; `trailing` came behind it in the same segment.

        From here on it lives by `settings`, those of a route, if they are given. Nothing happens
        if the endpoint was closed in the meantime: on_failed has said so.
        """
        cdef bytes frames = trailing
        if self.phase != OPENING:
            return
        self.remember(request, subprotocol)
        if settings is not None:
            self.change_settings(settings)
        self.start(<const uint8_t *>PyBytes_AS_STRING(frames), len(frames), extension)

    # --- life ------------------------------------------------------------------------------

    cdef int start(self, const uint8_t *trailing, size_t size, object extension) except -1:
        cdef Settings settings = self.settings
        self.connection = EndpointConnection(
            settings.role,
            max_message_bytes=settings.limits.max_message_bytes,
            max_fragments=settings.limits.max_fragments,
            extension=extension,
        )
        self.connection.owner = self
        self.opening = None
        self.phase = OPEN
        settings.counters.opened += 1
        self.begin_tally(size)
        settings.timetable.begin(&self.times, clock_ns())
        if settings.rates is not None:
            self.buckets = settings.rates.new_buckets(self.times.heard)
        self.watch()
        self.on_opened()
        self.condense()
        if size and self.phase == OPEN:
            self.receive_trailing(trailing, size)
        return 0

    cdef int receive_trailing(self, const uint8_t *trailing, size_t size) except -1:
        """Parse in a buffer of its own: the loop's may be in use, by another endpoint's turn."""
        cdef Buffer held = self.loop.incoming
        cdef Buffer incoming = Buffer()
        memcpy(incoming.reserve(size), trailing, size)
        self.loop.incoming = incoming
        try:
            self.connection.receive_bytes(incoming.data, size)
        finally:
            self.loop.incoming = held
        return 0

    cdef int on_ready(self, uint32_t events) except -1:
        # Reading stands here, not in a method of its own: every return behind a system call is
        # mispredicted.
        cdef Buffer incoming
        cdef Py_ssize_t size
        if self.phase == CONNECTING:
            return self.finish_connect()
        if events & WRITABLE and self.blocked:
            self.times.heard = self.loop.selector.now_ns  # it has acknowledged what it read
            self.flush_queue()
            self.settle()
        # A hang-up comes whatever was asked for: paused, what is left waits, and so does the end.
        if not events & (READABLE | HANGUP) or not self.interest & READABLE:
            return 0
        incoming = self.loop.receive_buffer()
        ws_prefetch(<void *>self.connection, CONNECTION_BYTES)  # while the kernel is at work
        size = self.receive(incoming)
        if size <= 0:
            return self.on_no_bytes(size)
        self.times.heard = self.loop.selector.now_ns
        count_received(self, size)
        if size == RECEIVE_BYTES or events & HANGUP:
            self.loop.selector.ask_again(self)
        return self.take_turn(incoming.data, size)

    cdef int on_deadline(self) except -1:
        if self.phase == CONNECTING or self.phase == OPENING:
            return self.on_opening_deadline()
        if self.phase == OPEN and not self.closing:
            return self.on_due()
        if self.phase == KEPT and self.queue is not None and not self.closing:
            self.phase = REFUSED  # no other request: what is left of the answer may leave
            self.opening = None
            return self.settle()
        return self.abort()

    cdef int on_turn_end(self) except -1:
        if self.answer_ready:
            if self.loop.turn is not None:  # flush() inside of a turn: two would share one cork
                return self.loop.selector.at_turn_end(self)
            self.answer_ready = False
            return self.take_turn(NULL, 0)
        if self.session is not None and self.session.is_over() and not self.ended:
            self.on_no_bytes(self.session_over())
        if self.fd >= 0 and not self.blocked:
            self.flush_queue()
            if self.drain_due and self.queue is None:
                self.on_drained()
            self.settle()
        return 0

    # --- receiving -------------------------------------------------------------------------

    cdef int on_no_bytes(self, Py_ssize_t size) except -1:
        """The read brought nothing: 0 is the end of the peer's stream, for -1 errno says why."""
        if size < 0 and (errno == EAGAIN or errno == EINTR):
            return 0
        if self.phase != OPENING:
            self.ended = True
            return self.abort() if size < 0 else self.on_end()
        return self.on_opening_end(errno if size < 0 else 0)

    cdef int on_end(self) except -1:
        """The peer sends nothing more. It may still read: what is queued leaves first."""
        if self.connection is not None:
            self.connection.receive_end()
        self.update_interest()
        return self.settle()

    cdef int take_turn(self, const uint8_t *data, size_t size) except -1:
        """Give one read to the protocol; send what came of it."""
        self.loop.turn = self
        try:
            if self.phase == OPEN:
                if self.buckets == NULL or not self.is_too_fast(BYTES, size):
                    self.connection.receive_bytes(data, size)
            elif self.phase == OPENING or self.phase == KEPT:
                self.on_opening(data, size)
        except Exception:
            self.on_handler_error()
        except BaseException:  # it leaves select(), and what is left of the read is lost
            self.fail_internally()
            self.loop.selector.at_turn_end(self)
            raise
        finally:
            if self.connection is not None and self.connection.pong is not None:
                if not self.blocked:
                    self.connection.write_pong()
            self.flush_cork()
            self.loop.turn = None
        return self.settle()

    cdef int on_handler_error(self) except -1:
        """The one place where a handler's exception ends: logged, and this connection fails."""
        _log.exception("a handler failed; its connection is closed with 1011")
        return self.fail_internally()

    # --- upcalls ---------------------------------------------------------------------------

    cdef int on_opened(self) except -1:
        if self.settings.open_callback is not None:
            self.settings.open_callback(self)
        return 0

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        cdef object message
        if opcode == BINARY and self.settings.views:
            mask_in_place(<uint8_t *>payload, size, key)
            message = self.loop.incoming.view(payload, size)
        else:
            message = message_from(opcode, payload, size, key)
            if message is None:
                return self.connection.fail(INVALID_DATA, "text is not UTF-8 (RFC 6455 8.1)")
        if self.settings.message_callback is not None:
            self.settings.message_callback(self, message)
        return 0

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        cdef object message = payload
        if opcode == TEXT:
            message = payload.decode()
        elif self.settings.views:
            message = memoryview(payload)
        if self.settings.message_callback is not None:
            self.settings.message_callback(self, message)
        return 0

    cdef int on_ping(self, bytes payload) except -1:
        if self.settings.ping_callback is not None:
            self.settings.ping_callback(self, payload)
        return 0

    cdef int on_pong(self, bytes payload) except -1:
        if self.settings.pong_callback is not None:
            self.settings.pong_callback(self, payload)
        return 0

    cdef int on_closed(self, int close_code, str reason) except -1:
        if self.tally != NULL and not self.tally.ended:
            self.tally.ended = True
            self.tally.ended_by_us = close_code == ABNORMAL_CLOSURE and not self.ended
        try:
            if self.settings.close_callback is not None:
                self.settings.close_callback(self, close_code, reason)
        except Exception:
            self.on_handler_error()
        return 0

    # --- time ------------------------------------------------------------------------------

    cdef int watch(self) except -1:
        cdef uint64_t now = clock_ns()
        cdef uint64_t again = 0
        if self.fd < 0:
            return 0
        if self.settings.timetable.look(&self.times, now, &again) != NOTHING:
            if self.deadline:  # it stays: pongs, however many, put off nothing that is due
                return 0
            again = now
        if not again:
            return self.loop.selector.clear_deadline(self)
        return self.loop.selector.set_deadline(self, (again - min(now, again)) / 1e9)

    cdef int on_due(self) except -1:
        cdef uint64_t now = clock_ns()
        cdef uint64_t again = 0
        cdef Due due = self.settings.timetable.look(&self.times, now, &again)
        if self.connection.close_sent or self.ended:
            return self.settle()
        if due == DEAD or due == IDLE:
            # A callback of this turn may have taken long, and what came meanwhile is not read.
            if self.settings.timetable.look(&self.times, self.loop.selector.now_ns, &again) != due:
                return self.watch()
        if due == DEAD:
            if self.is_dead(now):
                return self.give_up()
            self.times.heard = now
        if due == IDLE:
            self.settings.counters.idle_closed += 1
            return self.begin_close(NORMAL_CLOSURE, "idle")
        if due == EXPIRED:
            self.settings.counters.lifetime_closed += 1
            return self.begin_close(GOING_AWAY, "maximum lifetime")
        if due == PING_DUE:
            self.send_heartbeat(now)
        return self.watch()

    cdef bint is_dead(self, uint64_t now) noexcept:
        """Nothing was read since the last ping: whether that says anything about the peer."""
        if self.halts:  # nobody reads: a pong waits in the kernel, but TCP answers for the peer
            return ws_is_gone(self.fd, (now - self.times.pinged) // 1000000)
        # Above high water it counts that the peer reads what we sent.
        return not self.blocked or ws_unacknowledged(self.fd) >= self.unacknowledged

    cdef int send_heartbeat(self, uint64_t now) except -1:
        cdef uint8_t payload[HEARTBEAT_BYTES]
        self.unacknowledged = ws_unacknowledged(self.fd) if self.blocked else INT_MAX
        self.settings.timetable.ping(&self.times, now, payload)
        self.settings.counters.pings_sent += 1
        self.loop.turn = self  # a turn of its own: it leaves from the cork, and at once
        try:
            self.connection.send_control(PING, payload, HEARTBEAT_BYTES)
            self.flush_cork()
        finally:
            self.loop.turn = None
        return 0

    cdef int give_up(self) except -1:
        """Nothing came after a heartbeat: a last Close, and the end without waiting for its own.

        No Close of the peer came, so on_close gets 1006 (RFC 6455 7.1.5), and our reason.
        """
        self.settings.counters.dead_peers += 1
        self.connection.start_close(INTERNAL_ERROR, PING_TIMEOUT)
        if not self.blocked:
            self.flush_queue()
        self.connection.finish(ABNORMAL_CLOSURE, PING_TIMEOUT)
        return self.abort()

    # --- the end ---------------------------------------------------------------------------

    cdef int settle(self) except -1:
        """Take the next step towards the end, if the connection is on its way there (7.1.1)."""
        cdef EndpointConnection connection = self.connection
        if self.fd < 0 or self.phase == OPENING or self.phase == CONNECTING:
            return 0
        if self.phase == KEPT and not self.ended:
            return 0
        if self.phase == OPEN and not connection.close_sent and not self.ended:
            return 0
        if self.ended and self.queue is None:
            return self.close_socket()
        if not self.closing:
            self.closing = True
            self.loop.selector.set_deadline(self, self.settings.closing_seconds)
        if self.queue is not None or self.lingering:
            return 0
        if self.phase == REFUSED or connection.failed:
            self.shut_down()
            self.loop.selector.set_deadline(self, LINGER_SECONDS)
        elif connection.close_received and connection.is_server:
            self.close_socket()
        return 0

    cdef int on_detached(self) except -1:
        if self.connection is not None:
            self.settings.counters.closed += 1
        self.phase = DONE
        self.opening = None
        self.condense()
        self.settings.endpoints.discard(self)
        if self.connection is not None:
            self.connection.owner = None
        return 0
