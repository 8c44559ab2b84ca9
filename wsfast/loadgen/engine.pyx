# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; one thread owns an engine)
"""The load engine of one process: opens connections, holds them, closes them, and counts.

What goes over them is a matter of the mode: `wsfast.loadgen.echoing` and its siblings subclass
both classes here. Whatever fails is counted by its kind, never raised.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR
from libc.errno cimport errno as last_errno
from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from wsfast.buffer cimport Buffer
from wsfast.endpoint cimport CONNECTING, OPEN, OPENING, Endpoint
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loop cimport Loop
from wsfast.settings cimport Settings
from wsfast.transport cimport Transport

import collections
import errno
import socket

from wsfast.errors import HandshakeRefused, TlsFailed
from wsfast.limits import Limits
from wsfast.loadgen.opening import Opener
from wsfast.loadgen.tlsoptions import sessions_of
from wsfast.rfc6455 import CloseCode, Role

__all__ = ["Engine", "LoadConnection"]

cdef int NORMAL_CLOSURE = CloseCode.NORMAL_CLOSURE

cdef uint64_t BUSY_NS = 20_000_000        # so long the loop goes on before others are looked after

# Linux: choose the source port at connect(), where only the pair of addresses must be unique.
IP_BIND_ADDRESS_NO_PORT = 24


FOREVER = 1 << 62


cdef double spread(uint32_t number) noexcept:
    """A factor of 0.5 to 1 by which lifetimes differ: not all connections leave at once."""
    cdef double golden = number * 0.6180339887498949
    return 0.5 + 0.5 * (golden - <uint64_t>golden)


cdef inline bint is_usable(Endpoint endpoint) noexcept:
    """Whether it is open, and neither end is closing."""
    return (
        endpoint.phase == OPEN
        and not endpoint.connection.close_sent
        and not endpoint.connection.close_received
    )


cdef object failure_cause(object error):
    """The errno or the kind behind an exception that ended an opening."""
    if isinstance(error, HandshakeRefused):
        return f"handshake_{error.status}" if error.status not in (0, 101) else "handshake"
    if isinstance(error, TlsFailed):
        return "tls_certificate" if error.verify_message else "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return "handshake_closed"


cdef class LoadConnection(Endpoint):
    """One connection of an Engine, which makes it."""

    # --- opening -------------------------------------------------------------------------------

    cdef int on_connected(self) except -1:
        cdef bytes request
        self.key, request = self.engine.opener.request(self.slot)
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
        if self.greetings and self.phase == OPEN and not self.closing:
            self.retired = True  # counted here, not by how it ends
            self.engine.count_error("first_answer")
            return self.abort()
        if self.phase == OPEN and not self.closing:
            self.retired = True
            return self.connection.start_close(NORMAL_CLOSURE, "")
        return Endpoint.on_deadline(self)

    cdef Py_ssize_t receive(self, Buffer incoming) except? -1:
        cdef Py_ssize_t size = Transport.receive(self, incoming)
        self.engine.now = clock_ns()
        self.engine.reads += 1
        if size < 0 and last_errno != EAGAIN and last_errno != EINTR:
            self.broken = last_errno
        return size

    cdef int on_opened(self) except -1:
        cdef Engine engine = self.engine
        engine.handshake.record(clock_ns() - self.begun)
        engine.pending -= 1
        engine.live += 1
        if self.returns:
            engine.reconnected += 1
        else:
            engine.opened += 1
        if engine.greets:
            self.greet()
        return 0 if self.greetings else self.live_on()

    cdef int live_on(self) except -1:
        cdef Engine engine = self.engine
        if engine.lifetime:
            engine.loop.selector.set_deadline(self, engine.lifetime * spread(self.number))
        return self.begin_sending() if engine.sending else 0

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
        return self.receive_message(opcode, payload, size)   # key is 0: a server does not mask

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        return self.receive_message(
            opcode,
            <const uint8_t *>PyBytes_AS_STRING(payload),
            <size_t>PyBytes_GET_SIZE(payload),
        )

    cdef int receive_message(self, int opcode, const uint8_t *payload, size_t size) except -1:
        if self.greetings:
            return self.be_greeted(payload, size)
        return self.take(opcode, payload, size)

    cdef int be_greeted(self, const uint8_t *payload, size_t size) except -1:
        cdef Engine engine = self.engine
        cdef bytes greeting = engine.greeting
        cdef size_t length
        if greeting is not None:
            length = <size_t>PyBytes_GET_SIZE(greeting)
            if size < length or memcmp(payload, PyBytes_AS_STRING(greeting), length) != 0:
                return 0
        self.greetings -= 1
        if self.greetings:
            return 0
        engine.ungreeted -= 1
        if not self.closing:
            engine.loop.selector.clear_deadline(self)
        return self.live_on()

    cdef int greet(self) except -1:
        """Send the first message, whose answers count for nothing and are waited for."""
        plan = self.engine.plan
        text = plan.first_message.replace("{number}", str(self.number))
        self.greetings = plan.first_answers
        if self.greetings:
            self.engine.ungreeted += 1
            self.engine.loop.selector.set_deadline(self, plan.connect_seconds)
        return self.connection.send_message(
            text.replace("{topic}", str(self.number % plan.topics))
        )

    cdef int take(self, int opcode, const uint8_t *payload, size_t size) except -1:
        return 0

    cdef bint may_send(self) noexcept:
        return not self.greetings and is_usable(self)

    cdef int begin_sending(self) except -1:
        return 0

    # --- the end -------------------------------------------------------------------------------

    cdef int give_up(self) except -1:
        return 0

    cdef int on_closed(self, int close_code, str reason) except -1:
        cdef Engine engine = self.engine
        self.give_up()
        engine.live -= 1
        if self.greetings:
            engine.ungreeted -= 1
            self.greetings = 0
        if self.retired:
            return 0
        if self.broken:
            engine.count_error(self.broken)
        elif self.connection.failed:
            engine.count_error(f"violation_{close_code}")
        else:
            engine.count_error(f"closed_{close_code}")
        return 0

    cdef int on_detached(self) except -1:
        cdef Engine engine = self.engine
        engine.connections[self.slot] = None
        engine.held -= 1
        if engine.sending and (self.retired or engine.reconnects):
            engine.gone.append(self.slot)
        return Endpoint.on_detached(self)


cdef class Engine:
    """All connections of one generator process.

    Args:
        loop: where they live.
        plan: what to do, a `wsfast.loadgen.plan.Plan`.
    """

    def __init__(self, Loop loop not None, plan):
        self.loop = loop
        self.plan = plan
        self.opener = Opener(
            plan.url,
            headers=plan.headers,
            origin=plan.origin,
            subprotocols=plan.subprotocols,
            tokens=plan.tokens,
        )
        self.connections = [None] * plan.connections
        self.errors = {}
        self.gone = collections.deque()
        self.lifetime = plan.lifetime_seconds
        self.reconnects = plan.reconnect
        self.greets = plan.first_message is not None
        if plan.first_prefix is not None:
            self.greeting = plan.first_prefix.encode()
        self.handshake = Histogram()
        self.settings = self.make_settings()
        self.settings.make_session = sessions_of(plan.url, plan.tls)

    cdef Settings make_settings(self):
        limits = Limits(
            opening_seconds=self.plan.connect_seconds, ping_interval_seconds=None
        )
        return Settings(self.loop, Role.CLIENT, None, None, limits=limits)

    cdef LoadConnection new_connection(self):
        return LoadConnection(self.settings)

    # --- phases --------------------------------------------------------------------------------

    def connect(self, index):
        """Begin to open one connection; a failure is counted, not raised.

        Args:
            index: of the connection within the plan, 0 to plan.connections - 1, each once.
        """
        cdef int fd
        cdef LoadConnection connection = self.new_connection()
        connection.engine = self
        connection.slot = index
        connection.number = self.plan.first + index
        connection.returns = self.sending
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

    def turns(self, until_ns):
        """A turn of the loop, and while messages keep coming others, for some milliseconds.

        Args:
            until_ns: CLOCK_MONOTONIC in nanoseconds; no turn begins later, but for the first.

        Returns:
            What `EpollSelector.select` returns: the plain files that are ready.
        """
        cdef uint64_t reads, until = until_ns, now = clock_ns()
        cdef list ready
        cdef uint64_t busy_until = min(now + BUSY_NS, until)
        while True:
            reads = self.reads
            ready = self.loop.selector.serve(<int64_t>(until - min(now, until)))
            now = clock_ns()
            if ready or self.reads == reads or now >= busy_until or self.is_exhausted():
                return ready

    def reconnect_some(self, count):
        """Open some of the connections again that are to come back.

        Args:
            count: at most so many.
        """
        while self.gone and count > 0 and self.sending:
            self.connect(self.gone.popleft())
            count -= 1

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
        """Open the window, or the warm-up in front of it.

        Args:
            start_ns: CLOCK_MONOTONIC in nanoseconds.

        Returns:
            When the window ends, on the same clock; 2**64 - 1 if its length is not known.
        """
        plan = self.plan
        seconds = plan.seconds
        self.warm_ns = start_ns + int(plan.warmup_seconds * 1e9)
        self.deadline = UINT64_MAX if seconds is None else self.warm_ns + int(seconds * 1e9)
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
            if connection is not None and connection.may_send():
                connection.begin_sending()
        return behind

    @property
    def outstanding(self):
        """What is waited for before the connections close: messages without an answer."""
        return 0

    @property
    def patience(self):
        """After so many quiet turns nothing more is waited for before the connections close."""
        return FOREVER if self.outstanding else 0

    @property
    def exhausted(self):
        """Whether nothing of the plan is left to do."""
        return self.is_exhausted()

    cdef bint is_exhausted(self) noexcept:
        return False

    @property
    def batches(self):
        """Whether messages of several connections leave with one system call."""
        return False

    def end(self, now_ns):
        """Close the window: nothing further is sent, what comes no longer counts as measured.

        Args:
            now_ns: CLOCK_MONOTONIC in nanoseconds.

        Returns:
            When the window ended: with the last answer if all messages were answered, else now,
            and never later than planned.
        """
        self.sending = False
        ended = self.last_answer if self.is_exhausted() else now_ns
        self.deadline = min(self.deadline, ended)
        return self.deadline

    def settle(self):
        """Count what is still under way as unanswered; whatever happens later is not counted."""
        cdef LoadConnection connection
        self.now = clock_ns()
        self.settling = True
        for connection in self.connections:
            if connection is not None:
                connection.give_up()
        self.settled = True

    def close_some(self, first, count):
        """Start the closing handshake of the next connections; arguments as for start_some."""
        cdef LoadConnection connection
        cdef Py_ssize_t behind = min(first + count, len(self.connections))
        for connection in self.connections[first:behind]:
            if connection is not None and is_usable(connection):
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
        """All counters by name; see the .pxd for what each one counts."""
        return {
            "opened": self.opened,
            "failed": self.failed,
            "reconnected": self.reconnected,
            "reads": self.reads,
        }

    def histograms(self):
        """What was measured, by name: `Histogram` each."""
        return {"handshake": self.handshake}
