# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; one thread owns an engine)
"""The load engine of one process: connections that keep messages under way, and what they count.

Every answer is checked in full (see wsfast.loadgen.payload). Echoes come back in order, hence the
answer to expect, and the time when its message left, are known without searching. An answer that
is not the expected one is judged apart: one of a later message says that those between were lost,
one of an earlier message is a duplicate, anything else answers the expected message wrongly.

The clock is read twice in a turn: behind the read, for all answers that it brought, and in front
of the write, for all messages that leave with it. Nothing between makes a Python object.

Closed loop: a connection sends its next message when an answer comes. A server that stalls is
asked less often while it stalls (coordinated omission); whoever reads the latencies must know.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR
from libc.errno cimport errno as last_errno
from libc.stdint cimport INT64_MAX, UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from wsfast.buffer cimport Buffer
from wsfast.endpoint cimport CONNECTING, OPEN, OPENING, Endpoint
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.payload cimport Payload
from wsfast.loop cimport Loop
from wsfast.settings cimport Settings
from wsfast.transport cimport Transport

import errno
import socket

from wsfast.errors import HandshakeRefused
from wsfast.loadgen.opening import Opener
from wsfast.loadgen.plan import MAX_IN_FLIGHT
from wsfast.rfc6455 import CloseCode, Role

__all__ = ["Engine", "LoadConnection"]

cdef enum:
    SEARCHED = 1024               # how far back a duplicate is looked for

cdef int NORMAL_CLOSURE = CloseCode.NORMAL_CLOSURE

# Linux: choose the source port at connect(), where only the pair of addresses must be unique.
IP_BIND_ADDRESS_NO_PORT = 24


cdef inline uint64_t clock_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + <uint64_t>now.tv_nsec


cdef object failure_cause(object error):
    """The errno or the kind behind an exception that ended an opening."""
    if isinstance(error, HandshakeRefused):
        return f"handshake_{error.status}" if error.status not in (0, 101) else "handshake"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return "handshake_closed"


@cython.final
cdef class LoadConnection(Endpoint):
    """One connection of an Engine, which makes it."""

    def __dealloc__(self):
        free(self.sent_at)

    # --- opening -------------------------------------------------------------------------------

    cdef int on_connected(self) except -1:
        cdef bytes request
        self.key, request = self.engine.opener.request()
        self.received = b""
        return self.write_bytes(
            <const uint8_t *>PyBytes_AS_STRING(request), <size_t>PyBytes_GET_SIZE(request)
        )

    cdef int on_opening(self, const uint8_t *data, size_t size) except -1:
        self.received += PyBytes_FromStringAndSize(<const char *>data, <Py_ssize_t>size)
        cdef bytes received = self.received
        try:
            head = self.engine.opener.judge(self.key, received)
        except HandshakeRefused as error:
            self.fail_opening(error)
            return 0
        if head is None:
            return 0
        cdef Py_ssize_t used = head
        self.received = self.key = None
        self.start(
            <const uint8_t *>PyBytes_AS_STRING(received) + used,
            <size_t>(PyBytes_GET_SIZE(received) - used),
            None,
        )
        return 0

    cdef int on_deadline(self) except -1:
        if self.phase == CONNECTING or self.phase == OPENING:
            return self.fail_opening(TimeoutError("the opening handshake took too long"))
        return Endpoint.on_deadline(self)

    cdef Py_ssize_t receive(self, Buffer incoming) except? -1:
        cdef Py_ssize_t size = Transport.receive(self, incoming)
        self.engine.now = clock_ns()
        if size < 0 and last_errno != EAGAIN and last_errno != EINTR:
            self.broken = last_errno
        return size

    cdef int on_opened(self) except -1:
        cdef Engine engine = self.engine
        engine.handshake.record(clock_ns() - self.begun)
        engine.pending -= 1
        engine.opened += 1
        engine.live += 1
        return 0

    cdef int on_failed(self, object error) except -1:
        cdef Engine engine = self.engine
        engine.pending -= 1
        engine.failed += 1
        engine.count_error(failure_cause(error))
        return 0

    # --- messages ------------------------------------------------------------------------------

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        return self.take(opcode, payload, size)   # key is 0: a server does not mask

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        return self.take(
            opcode,
            <const uint8_t *>PyBytes_AS_STRING(payload),
            <size_t>PyBytes_GET_SIZE(payload),
        )

    cdef int take(self, int opcode, const uint8_t *payload, size_t size) except -1:
        cdef Engine engine = self.engine
        if engine.settled:
            return 0
        if (
            self.sequence == self.expected
            or size != engine.payload.size
            or opcode != engine.payload.opcode
            or not engine.payload.is_echo(payload, self.expected, self.number)
        ):
            return self.judge(opcode, payload, size)
        return self.answered()

    cdef int answered(self) except -1:
        cdef Engine engine = self.engine
        cdef uint64_t now = engine.now
        engine.latency.record(now - self.sent_at[self.expected & engine.ring_mask])
        self.expected += 1
        engine.received += 1
        engine.last_answer = now
        if now <= engine.deadline:
            engine.measured += 1
            return self.send_next()
        return 0

    cdef int judge(self, int opcode, const uint8_t *payload, size_t size) except -1:
        cdef Engine engine = self.engine
        cdef uint32_t step, gap = self.sequence - self.expected
        if size == engine.payload.size and opcode == engine.payload.opcode:
            for step in range(1, gap):
                if engine.payload.is_echo(payload, self.expected + step, self.number):
                    self.expected += step
                    engine.lost += step
                    for _ in range(step):
                        self.send_next()
                    return self.answered()
            for step in range(1, min(self.expected, <uint32_t>SEARCHED) + 1):
                if engine.payload.is_echo(payload, self.expected - step, self.number):
                    engine.duplicate += 1
                    return 0
        if gap == 0:
            engine.unexpected += 1
            return 0
        engine.mismatch += 1
        return self.answered()

    cdef int send_next(self) except -1:
        cdef Engine engine = self.engine
        cdef Payload payload = engine.payload
        if engine.budget <= 0 or not engine.sending or engine.now > engine.deadline:
            return 0
        engine.budget -= 1
        self.sent_at[self.sequence & engine.ring_mask] = engine.now
        engine.sent += 1
        self.sequence += 1
        return self.connection.send_payload(
            payload.opcode, payload.stamped(self.sequence - 1, self.number), payload.size
        )

    cdef int flush_cork(self) except -1:
        """What was sent since the last time leaves now: that is the time that counts."""
        cdef uint64_t now
        if self.dated != self.sequence:
            now = clock_ns()
            while self.dated != self.sequence:
                self.sent_at[self.dated & self.engine.ring_mask] = now
                self.dated += 1
        return Transport.flush_cork(self)

    cdef int begin_sending(self) except -1:
        """A turn that no event began: what it sends leaves at once, not with the next batch."""
        self.engine.now = clock_ns()
        self.loop.turn = self
        try:
            for _ in range(self.engine.in_flight):
                self.send_next()
            self.flush_cork()
        finally:
            self.loop.turn = None
        return 0

    # --- the end -------------------------------------------------------------------------------

    cdef int give_up(self) except -1:
        self.engine.unanswered += self.sequence - self.expected
        self.expected = self.sequence
        return 0

    cdef int on_closed(self, int close_code, str reason) except -1:
        cdef Engine engine = self.engine
        self.give_up()
        engine.live -= 1
        if self.broken:
            engine.count_error(self.broken)
        elif self.connection.failed:
            engine.count_error(f"violation_{close_code}")
        else:
            engine.count_error(f"closed_{close_code}")
        return 0

    cdef int on_detached(self) except -1:
        self.engine.connections[self.slot] = None
        self.engine.held -= 1
        return Endpoint.on_detached(self)


@cython.final
cdef class Engine:
    """All connections of one generator process.

    Args:
        loop: where they live.
        plan: what to do, a `wsfast.loadgen.plan.Plan`.
        payload: what every message holds.

    Raises:
        ValueError: the plan keeps too many messages under way, or none.
    """

    def __init__(self, Loop loop not None, plan, Payload payload not None):
        if not 1 <= plan.in_flight <= MAX_IN_FLIGHT:
            raise ValueError(f"{plan.in_flight} in flight is not 1 to {MAX_IN_FLIGHT}")
        self.loop = loop
        self.plan = plan
        self.opener = Opener(plan.url)
        self.payload = payload
        self.in_flight = plan.in_flight
        self.ring_mask = (1 << (self.in_flight - 1).bit_length()) - 1
        self.connections = [None] * plan.connections
        self.errors = {}
        self.latency = Histogram()
        self.handshake = Histogram()
        self.settings = self.make_settings()

    cdef Settings make_settings(self):
        """Limits under which reading never stops: server and generator would wait for each other.

        All that a connection may have under way fits into its queue.
        """
        cdef size_t size = self.payload.size
        cdef size_t most = (size + 64) * self.in_flight + (1 << 20)
        return Settings(
            self.loop,
            Role.CLIENT,
            None,
            None,
            max_message_bytes=max(size, <size_t>1 << 20),
            high_water=most,
            low_water=most // 2,
            max_queue_bytes=2 * most,
            opening_seconds=self.plan.connect_seconds,
        )

    # --- phases --------------------------------------------------------------------------------

    def connect(self, index):
        """Begin to open one connection; a failure is counted, not raised.

        Args:
            index: of the connection within the plan, 0 to plan.connections - 1, each once.
        """
        cdef int fd
        cdef LoadConnection connection = LoadConnection(self.settings)
        cdef size_t ring_bytes = (<size_t>self.ring_mask + 1) * sizeof(uint64_t)
        connection.sent_at = <uint64_t *>malloc(ring_bytes)
        if connection.sent_at == NULL:
            raise MemoryError(f"no memory for {self.in_flight} messages under way")
        connection.engine = self
        connection.slot = index
        connection.number = self.plan.first + index
        connection.begun = clock_ns()
        try:
            fd = self.open_socket(index)
        except OSError as error:
            self.failed += 1
            self.count_error(error.errno)
            return
        self.pending += 1
        self.held += 1
        self.connections[index] = connection
        connection.attach(fd, CONNECTING)

    cdef int open_socket(self, object index) except -1:
        """A descriptor on its way to the target; the caller owns it.

        Raises:
            OSError: the system has no socket, or no address to give.
        """
        plan = self.plan
        family = socket.AF_INET6 if ":" in plan.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as opened:
            opened.setblocking(False)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source = plan.source_of(index)
            if source is not None:
                opened.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                opened.bind((source, 0))
            code = opened.connect_ex((plan.address, plan.port))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, errno.errorcode.get(code, "connect"))
            return opened.detach()

    def stop_connecting(self):
        """Abort what has not opened yet; nothing of it is counted as an error."""
        cdef LoadConnection connection
        if not self.pending:
            return
        self.settled = True
        for connection in self.connections:
            if connection is not None and connection.phase != OPEN:
                connection.abort()
        self.settled = False

    def begin(self, start_ns):
        """Open the window: from now on answers are followed by the next message.

        Args:
            start_ns: CLOCK_MONOTONIC in nanoseconds.

        Returns:
            When the window ends, on the same clock; 2**64 - 1 if only the messages end it.
        """
        plan = self.plan
        seconds, messages = plan.seconds, plan.messages
        self.deadline = UINT64_MAX if seconds is None else start_ns + int(seconds * 1e9)
        self.budget = INT64_MAX if messages is None else messages
        self.last_answer = start_ns
        self.sending = True
        return self.deadline

    def start_some(self, first, count):
        """Give the next connections their first messages.

        Args:
            first: index of the first of them.
            count: how many.

        Returns:
            The index behind the last of them.
        """
        cdef LoadConnection connection
        cdef Py_ssize_t behind = min(first + count, len(self.connections))
        for connection in self.connections[first:behind]:
            if connection is not None and connection.is_open():
                connection.begin_sending()
        return behind

    @property
    def outstanding(self):
        """Messages that wait for their answer."""
        return self.sent - self.received - self.lost - self.unanswered

    @property
    def exhausted(self):
        """Whether every message of the plan was sent and answered, or given up."""
        return self.budget <= 0 and self.outstanding == 0

    def end(self, now_ns):
        """Close the window: no further message is sent, answers no longer count as measured.

        Args:
            now_ns: CLOCK_MONOTONIC in nanoseconds.

        Returns:
            When the window ended: with the last answer if all messages were answered, else now,
            and never later than planned.
        """
        self.sending = False
        ended = self.last_answer if self.exhausted else now_ns
        self.deadline = min(self.deadline, ended)
        return self.deadline

    def settle(self):
        """Count what is still under way as unanswered; whatever happens later is not counted."""
        cdef LoadConnection connection
        for connection in self.connections:
            if connection is not None:
                connection.give_up()
        self.settled = True

    def close_some(self, first, count):
        """Start the closing handshake of the next connections; arguments as for start_some."""
        cdef LoadConnection connection
        cdef Py_ssize_t behind = min(first + count, len(self.connections))
        for connection in self.connections[first:behind]:
            if connection is not None and connection.is_open():
                connection.connection.start_close(NORMAL_CLOSURE, "")
        return behind

    def abort_all(self):
        """Cut every connection that is left."""
        cdef LoadConnection connection
        for connection in self.connections[:]:
            if connection is not None:
                connection.abort()

    # --- counts --------------------------------------------------------------------------------

    cdef int count_error(self, object cause) except -1:
        if not self.settled:
            self.errors[cause] = self.errors.get(cause, 0) + 1
        return 0

    def counts(self):
        """All counters by name; see engine.pxd for what each one counts."""
        return {
            "opened": self.opened,
            "failed": self.failed,
            "sent": self.sent,
            "received": self.received,
            "measured": self.measured,
            "unanswered": self.unanswered,
            "lost": self.lost,
            "mismatch": self.mismatch,
            "duplicate": self.duplicate,
            "unexpected": self.unexpected,
        }
