# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; an endpoint belongs to the thread of its loop)
"""What a handler does with an open connection: messages, control frames, and closing.

Beyond what the kernel takes at once the policy of the settings for slow consumers holds: what
waits is bytes in the queue, or whole messages in a backlog, where they can still be dropped.
Above all of them stands the budget of the loop.

What arrives passes here too, to be counted and held against the rates that a peer may have.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport SIZE_MAX
from libc.stdlib cimport free

from wsfast.backlog cimport DROP_OLDEST, NEWEST_PER_KEY, WAIT, Backlog, Policy
from wsfast.buffer cimport Buffer
from wsfast.frame cimport write_header
from wsfast.poller cimport clock_ns
from wsfast.rates cimport MESSAGES, PINGS, Buckets, RateLimits
from wsfast.receiver cimport BINARY, CLOSE, CONTINUATION, PING, PONG, TAIL_BYTES, TEXT
from wsfast.settings cimport Settings, Tally
from wsfast.transport cimport count_message_received, count_message_sent
from wsfast.upgrading cimport CONNECTING, DONE, OPEN, OPENING

import logging
import sys

from wsfast.errors import ConnectFailed, LocalProtocolError
from wsfast.rfc6455 import CloseCode, State

__all__ = ["Messaging"]

cdef enum:
    FIN_BIT = 0x80
    LARGE_BYTES = 128 * 1024      # a payload from here on is sent from where it lies

cdef int POLICY_VIOLATION = CloseCode.POLICY_VIOLATION
cdef int INTERNAL_ERROR = CloseCode.INTERNAL_ERROR
cdef int TRY_AGAIN_LATER = CloseCode.TRY_AGAIN_LATER

_log = logging.getLogger("wsfast")


cdef class EndpointConnection(Connection):
    """The protocol of an endpoint: passes on what arrives, writes where the endpoint says."""

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        cdef Messaging owner = self.owner
        owner.times.active = owner.times.heard
        count_message_received(owner)
        if owner.buckets != NULL and owner.is_too_fast(MESSAGES, 1):
            return 0
        return owner.on_message(opcode, payload, size, key)

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        cdef Messaging owner = self.owner
        owner.times.active = owner.times.heard
        count_message_received(owner)
        if owner.buckets != NULL and owner.is_too_fast(MESSAGES, 1):
            return 0
        return owner.on_assembled(opcode, payload)

    cdef int on_ping(self, bytes payload) except -1:
        if self.owner.buckets != NULL and self.owner.is_too_fast(PINGS, 1):
            return 0
        return self.owner.on_ping(payload)

    cdef int on_pong(self, bytes payload) except -1:
        cdef Messaging owner = self.owner
        if owner.settings.timetable.pong(
            &owner.times, clock_ns(), <const uint8_t *>PyBytes_AS_STRING(payload), len(payload)
        ):
            # The next ping is due now, not the death: see wsfast.timetable.
            return 0 if self.close_sent else owner.watch()
        return owner.on_pong(payload)

    cdef int on_close(self, int close_code, str reason) except -1:
        return self.owner.on_closed(close_code, reason)

    cdef int start_close(self, int close_code, str reason) except -1:
        cdef bint ours = not self.close_sent and not self.finished
        Connection.start_close(self, close_code, reason)
        if ours and self.owner.tally != NULL:
            self.owner.tally.ended = self.owner.tally.ended_by_us = True
        return 0

    cdef Buffer output(self):
        return self.owner.output()

    cdef bint output_is_full(self) noexcept:
        return self.owner.blocked

    cdef int write_frame(self, int first_byte, const uint8_t *payload, size_t size) except -1:
        cdef Messaging owner = self.owner
        cdef Buffer cork = owner.loop.cork
        if first_byte & (FIN_BIT | CLOSE) == FIN_BIT:  # not of a control frame, nor of a fragment
            owner.times.active = owner.loop.selector.now_ns
            count_message_sent(owner)
        if size < LARGE_BYTES or not self.is_server or owner.output() is not cork:
            return Connection.write_frame(self, first_byte, payload, size)
        cork.end += write_header(cork.reserve(14), <uint8_t>first_byte, size, False, 0)
        return owner.write_large(payload, size)


cdef class Messaging(Upgrading):
    """An open connection as a handler sees it; an endpoint adds the turns and the end."""

    def __dealloc__(self):
        free(self.buckets)

    @property
    def ready_state(self):
        """`State.CONNECTING`, `OPEN`, `CLOSING` or `CLOSED` (RFC 6455 section 4.1, 7.1)."""
        if self.connection is None:
            return State.CLOSED if self.phase == DONE else State.CONNECTING
        return self.connection.state

    @property
    def round_trip_seconds(self):
        """From our last answered heartbeat to its pong, or None before the first one."""
        return self.times.round_trip / 1e9 if self.times.round_trip else None

    cdef bint is_open(self) except -1:
        if self.phase == CONNECTING or self.phase == OPENING:
            raise LocalProtocolError("the connection is not open yet (RFC 6455 4.1)")
        return (
            self.phase == OPEN
            and not self.connection.close_sent
            and not self.connection.close_received
        )

    def send(self, message, *, key=None):
        """Send a whole message: a str as text, a bytes-like object as binary.

        Args:
            message: str, bytes or another bytes-like object.
            key: under the policy "newest-per-key", for a slow peer: hashable, not None; of the
                messages of one key that wait only the newest is kept. Ignored under the others.

        Returns:
            True if it is on its way, False if the connection is closing or closed.

        Raises:
            LocalProtocolError: the opening handshake is not over, or a ping exceeds 125 bytes.
            TypeError, UnicodeEncodeError: the message is neither, or cannot be encoded.
        """
        if not self.is_open():
            return False
        if self.queue is not None:
            return self.send_slowly(message, key)
        self.connection.send_message(message)
        return True

    def send_fragments(self, fragments):
        """Send one message as several frames: a part leaves when the next is there (5.4).

        Args:
            fragments: iterable of str or of bytes-like objects; without any it is an empty binary
                message. Once a part has left it may send control frames and close, but no other
                message.

        Returns:
            True if all of it is on its way, False if the connection is closing or closed, or if
            it was dropped as a whole for a slow peer.

        Raises:
            TypeError, UnicodeEncodeError: a part is neither, or not of the kind of the first.
            LocalProtocolError: as `send`, or the parts are no text together.
            Exception: whatever the iterable raises. A message that was begun by then can neither
                be ended nor taken back, so the connection fails with 1011.
        """
        if not self.is_open():
            return False
        parts = iter(fragments)
        part = next(parts, b"")  # it may send messages of its own, or close: what follows looks
        if not self.is_open():
            return False
        if self.connection.sending_opcode:
            raise LocalProtocolError("the message before is not finished (RFC 6455 5.4)")
        if self.overflows():
            self.settings.counters.dropped_messages += self.is_open()
            return False
        self.refill(SIZE_MAX)
        opcode = TEXT if isinstance(part, str) else BINARY
        try:
            return self.send_parts(opcode, part, parts)
        except BaseException:
            if self.connection.sending_opcode:
                self.fail_internally()
            raise

    cdef bint send_parts(self, int opcode, object part, object parts) except -1:
        cdef bint last = False
        while not last:
            following = next(parts, self)
            last = following is self
            self.overflows()  # under "drop-oldest" what was begun goes on
            if not self.is_open():
                return False
            self.connection.send_part(opcode, part, last)
            opcode, part = CONTINUATION, following
        return True

    def ping(self, payload=b""):
        """Send a Ping of at most 125 bytes; returns and raises as `send` does."""
        cdef bint sent = self.control(PING, bytes(memoryview(payload)))
        self.settings.counters.pings_sent += sent
        return sent

    def pong(self, payload=b""):
        """Send an unsolicited Pong of at most 125 bytes; returns and raises as `send` does."""
        return self.control(PONG, bytes(memoryview(payload)))

    cdef bint control(self, int opcode, bytes payload) except -1:
        if not self.is_open() or self.overflows():
            return False
        self.connection.send_control(
            opcode, <const uint8_t *>PyBytes_AS_STRING(payload), len(payload)
        )
        return True

    def close(self, close_code=1000, close_reason=""):
        """Start the closing handshake; a second call does nothing. Before opening it aborts.

        Raises:
            LocalProtocolError: code or reason must not be sent (RFC 6455 section 7.4).
        """
        if self.phase == OPEN:
            self.begin_close(close_code, close_reason)
        elif self.phase == CONNECTING or self.phase == OPENING:
            self.fail_opening(ConnectFailed("closed before the opening handshake was over"))

    def memory(self):
        """Bytes of user memory that this connection holds, without `state` and what it sent on.

        With TLS what OpenSSL holds is estimated, see `TlsSession.memory`.
        """
        cdef EndpointConnection connection = self.connection
        cdef size_t size = sys.getsizeof(self)
        if connection is not None:
            size += sys.getsizeof(connection)
            if connection.tail != NULL:
                size += TAIL_BYTES
            if connection.assembly != NULL:
                size += sys.getsizeof(<object>connection.assembly)
            if connection.pong is not None:
                size += sys.getsizeof(connection.pong)
        if type(self.opened_by) is bytes:
            size += sys.getsizeof(self.opened_by)
        if self.parameters is not None:
            size += sys.getsizeof(self.parameters)
        if self.session is not None:
            size += self.session.held()
        if self.queue is not None:
            size += sys.getsizeof(self.queue) + self.queue.capacity
        if self.backlog is not None:
            size += sys.getsizeof(self.backlog) + self.backlog.bytes
        if self.tally != NULL:
            size += sizeof(Tally)
        return size + (0 if self.buckets == NULL else sizeof(Buckets))

    cdef int begin_close(self, int close_code, str reason) except -1:
        if not self.connection.close_sent and not self.connection.close_received:
            self.refill(SIZE_MAX)
        self.connection.start_close(close_code, reason)
        if self.blocked:  # no turn of ours may come before the deadline: set it now
            self.settle()
        return 0

    def disconnect(self):
        """Close the socket at once, without a closing handshake: on_close comes with 1006."""
        self.abort()

    # --- sending ---------------------------------------------------------------------------

    cdef bint overflows(self) except -1:
        """Whether the peer reads so slowly that nothing more may wait; it may be given up then."""
        cdef Policy policy = self.settings.slow_consumer
        cdef size_t held = self.queued() if policy == DROP_OLDEST else self.held()
        cdef bint over_budget
        if not self.blocked:
            return False
        over_budget = self.over_budget()
        if not over_budget and held <= self.settings.max_queue_bytes:
            return False
        if not over_budget and policy == DROP_OLDEST:
            return True
        self.settings.counters.slow_closed += 1
        self.settings.counters.over_budget += over_budget
        if over_budget or policy != WAIT:
            self.backlog = None  # to say goodbye, not to deliver
            self.begin_close(TRY_AGAIN_LATER, "slow consumer")
        else:
            _log.warning("a peer left %d bytes unread; its connection is aborted", held)
            self.abort()
        return True

    cdef bint send_slowly(self, object message, object key) except -1:
        """Send behind what waits already, as the policy for slow consumers has it."""
        cdef Settings settings = self.settings
        cdef size_t most = settings.max_queue_bytes
        if not self.blocked and (
            (self.held() > most and settings.slow_consumer != WAIT) or self.over_budget()
        ):
            self.flush_queue()  # gathered outside of our turn: is the peer slow, or we fast?
            if not self.is_open():
                return False
        if self.connection.sending_opcode:  # not before that message is over: this raises
            self.connection.send_message(message)
        if settings.slow_consumer >= DROP_OLDEST and (self.blocked or self.backlog is not None):
            return self.hold(message, key)
        if self.overflows():
            return False
        self.connection.send_message(message)
        self.account()
        return True

    cdef bint hold(self, object message, object key) except -1:
        """Let a message wait where it can still be dropped."""
        cdef Settings settings = self.settings
        cdef size_t queued = self.queued()
        # Held here: a key is compared by its own code, which may close us.
        cdef Backlog backlog = self.backlog
        if backlog is None:
            backlog = self.backlog = Backlog()
        if settings.slow_consumer == DROP_OLDEST:
            settings.counters.dropped_messages += backlog.push(message, None)
            settings.counters.dropped_messages += backlog.drop_oldest(
                settings.max_queue_bytes - min(queued, settings.max_queue_bytes)
            )
        else:
            settings.counters.dropped_messages += backlog.push(message, key)
        if not self.is_open():
            return False
        self.account()
        if settings.slow_consumer == NEWEST_PER_KEY or self.over_budget():
            return not self.overflows()
        return True

    cdef int refill(self, size_t limit) except -1:
        """Move messages from the backlog to the queue, up to so many bytes there."""
        if self.connection.sending_opcode:  # nothing comes between the fragments of a message
            return 0
        while self.backlog is not None and self.queued() <= limit:
            message = self.backlog.pop()
            if message is None:
                self.backlog = None
            else:
                self.connection.send_message(message)
        return 0

    cdef int on_drained(self) except -1:
        """The peer has caught up: the pong that waited goes first."""
        if self.phase != OPEN or self.connection.close_received:
            return 0
        if not self.blocked:
            self.connection.write_pong()
        self.refill(self.settings.low_water_bytes)
        if self.held() > self.settings.low_water_bytes:
            return 0
        if self.settings.drain_callback is None or self.connection.close_sent:
            return 0
        if self.paused or self.drain_due:
            # What it sends may leave at once, and bring us here again: that is not for now, or
            # who sends on in on_drain recurses for as long as the peer reads.
            if self.draining:
                self.drain_due = True
                return 0
            self.paused = self.drain_due = False  # what the handler sends now counts anew
            self.draining = True
            try:
                self.settings.drain_callback(self)
            except Exception:
                self.on_handler_error()
            finally:
                self.draining = False
            if self.drain_due and self.fd >= 0:
                self.loop.selector.at_turn_end(self)
        return 0

    cdef int on_reading(self, bint goes_on) except -1:
        if self.buckets != NULL:
            self.settings.rates.fill(self.buckets, clock_ns(), not goes_on)
        return 0

    cdef bint is_too_fast(self, int rate, double amount) except -1:
        cdef RateLimits rates = self.settings.rates
        if rates.take(self.buckets, rate, amount, self.times.heard):
            return False
        if not self.connection.close_received:
            self.settings.counters.rate_limited += 1
            self.connection.fail(POLICY_VIOLATION, rates.reason(rate))
        return True

    # --- the end ---------------------------------------------------------------------------

    cdef int abort(self) except -1:
        if self.phase == CONNECTING or self.phase == OPENING:
            return self.fail_opening(ConnectFailed("aborted before the handshake was over"))
        if self.connection is not None:
            self.connection.receive_end()
        return self.close_socket()

    cdef int fail_open(self) except -1:
        self.fail_internally()
        return self.settle() if self.blocked else 0

    cdef int fail_internally(self) except -1:
        if self.phase == OPEN:
            return self.connection.fail(INTERNAL_ERROR, "internal error")
        if self.phase == OPENING:
            return self.fail_opening(ConnectFailed("the opening handshake failed on our side"))
        return 0

    # --- for subclasses --------------------------------------------------------------------

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        return 0

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        return 0

    cdef int on_ping(self, bytes payload) except -1:
        return 0

    cdef int on_pong(self, bytes payload) except -1:
        return 0

    cdef int on_closed(self, int close_code, str reason) except -1:
        return 0

    cdef int settle(self) except -1:
        return 0

    cdef int watch(self) except -1:
        return 0
