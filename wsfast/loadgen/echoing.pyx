# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; one thread owns an engine)
"""Echo mode: messages that come back, in a closed loop or on a schedule; ping mode: pings do.

Every answer is checked (see wsfast.loadgen.payload). Echoes come back in order, hence the answer
to expect, and the times of its message, are known without searching. An answer that is not the
expected one is judged apart: one of a later message overtook those between, which are lost unless
they still come (then they were reordered); one of a message that was answered is a duplicate;
anything else answers the expected message wrongly. Servers that do not echo are told apart by a
rule of the user's (wsfast.loadgen.reply): it names the message that a reply answers, or calls it
foreign.

The clock is read behind each read, for all answers that it brought, and in front of each write,
for all messages that leave with it. Nothing between makes a Python object. In a closed loop what
follows an answer leaves through wsfast.loadgen.outbox, if the system has what that takes.

Open loop (see wsfast.loadgen.scheduled): latency counts from the time when a message was due
(intended) and from when it left (actual): where we were late, only the first is what a user would
have seen.
Closed loop: a connection sends its next message when an answer comes. A server that stalls is
asked less often while it stalls (coordinated omission); whoever reads the latencies must know.

What is still under way at the end was not measured, but it is known to take longer than it has:
it is recorded with that, and everything from the shortest of these on is a lower bound.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from wsfast.buffer cimport Buffer
from wsfast.loadgen.engine cimport LoadConnection, clock_ns
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.outbox cimport open_outbox
from wsfast.loadgen.payload cimport Payload
from wsfast.loadgen.reply cimport Reply
from wsfast.loadgen.scheduled cimport ScheduledConnection, ScheduledEngine
from wsfast.loadgen.stagecounts cimport StageCounts
from wsfast.loadgen.template cimport Template
from wsfast.loop cimport Loop
from wsfast.selector cimport Stream
from wsfast.settings cimport Settings
from wsfast.transport cimport Transport
from wsfast.wheel cimport ws_prefetch

from wsfast.limits import Limits
from wsfast.loadgen.plan import MAX_IN_FLIGHT, content_of
from wsfast.rfc6455 import Opcode, Role

__all__ = ["EchoConnection", "EchoEngine"]

cdef int CONTINUATION = Opcode.CONTINUATION
cdef int PING = Opcode.PING

cdef enum:
    RING = 8                      # messages that a connection remembers at least
    SEARCHED = 1024               # how many later or earlier messages an answer is compared with
    MOST_UNDER_WAY = 1 << 20      # on one connection of an open loop
    MOST_QUEUED = 32 << 20        # bytes in front of a connection that takes nothing more


@cython.final
cdef class EchoConnection(ScheduledConnection):
    """One connection of an EchoEngine, which makes it."""

    def __dealloc__(self):
        free(self.ring)

    cdef int on_opened(self) except -1:
        if self.echo.outbox is not None:
            self.echo.outbox.admit(self)
        return ScheduledConnection.on_opened(self)

    cdef int on_detached(self) except -1:
        if self.admitted:
            self.echo.outbox.dismiss(self)
        return ScheduledConnection.on_detached(self)

    # --- answers -------------------------------------------------------------------------------

    cdef Py_ssize_t receive(self, Buffer incoming) except? -1:
        ws_prefetch(&self.ring[self.expected & self.ring_mask], sizeof(Sent))
        return ScheduledConnection.receive(self, incoming)

    cdef bint is_answer(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t sequence
    ) noexcept:
        return self.echo.payload.is_answer(
            opcode,
            payload,
            size,
            sequence,
            self.number,
            self.ring[sequence & self.ring_mask].due_ns,
        )

    cdef int take(self, int opcode, const uint8_t *payload, size_t size) except -1:
        return 0 if self.echo.pings else self.take_answer(opcode, payload, size)

    cdef int on_pong(self, bytes payload) except -1:
        if not self.echo.pings:
            return 0
        return self.take_answer(
            self.echo.payload.opcode,
            <const uint8_t *>PyBytes_AS_STRING(payload),
            <size_t>PyBytes_GET_SIZE(payload),
        )

    cdef int take_answer(self, int opcode, const uint8_t *payload, size_t size) except -1:
        cdef EchoEngine echo = self.echo
        cdef uint32_t sequence = self.expected
        if echo.settled:
            return 0
        if echo.reply is not None:
            return self.take_reply(opcode, payload, size)
        if self.sequence == sequence or not self.is_answer(opcode, payload, size, sequence):
            return self.judge(opcode, payload, size)
        self.expected += 1
        self.answered(sequence, size)
        return self.follow()

    cdef int take_reply(self, int opcode, const uint8_t *payload, size_t size) except -1:
        cdef EchoEngine echo = self.echo
        cdef uint32_t sequence = self.expected, behind
        if not echo.reply.find(payload, size, self.number, &sequence):
            echo.foreign += 1
            return 0
        if sequence - self.expected >= self.sequence - self.expected:
            behind = self.expected - sequence
            if 1 <= behind <= self.expected:
                return self.answered_late(sequence, size)
            echo.unexpected += 1
            return 0
        echo.mismatch += not self.is_answer(opcode, payload, size, sequence)
        if sequence != self.expected:
            self.skip(sequence - self.expected)
        self.expected += 1
        self.answered(sequence, size)
        return self.follow()

    cdef int answered(self, uint32_t sequence, size_t size) except -1:
        cdef EchoEngine echo = self.echo
        cdef Sent *entry = &self.ring[sequence & self.ring_mask]
        echo.received += 1
        echo.last_answer = echo.now
        echo.record(entry)
        entry.sent_ns = 0
        if echo.warm_ns <= echo.now <= echo.deadline:
            echo.measured += 1
            echo.measured_bytes += size
        return 0

    cdef int follow(self) except -1:
        if self.echo.schedule is not None:
            return 0
        return self.echo.think(self) if self.echo.think_ns else self.send_next()

    cdef int judge(self, int opcode, const uint8_t *payload, size_t size) except -1:
        cdef EchoEngine echo = self.echo
        cdef uint32_t step, under_way = self.sequence - self.expected
        for step in range(1, min(under_way, <uint32_t>SEARCHED)):
            if self.is_answer(opcode, payload, size, self.expected + step):
                self.skip(step)
                return self.take_answer(opcode, payload, size)
        for step in range(1, min(self.expected, <uint32_t>SEARCHED) + 1):
            if self.is_answer(opcode, payload, size, self.expected - step):
                return self.answered_late(self.expected - step, size)
        if not under_way:
            echo.unexpected += 1
            return 0
        echo.mismatch += 1
        self.expected += 1
        self.answered(self.expected - 1, size)
        return self.follow()

    cdef int skip(self, uint32_t count) except -1:
        self.expected += count
        self.echo.lost += count
        for _ in range(count):
            self.follow()
        return 0

    cdef int answered_late(self, uint32_t sequence, size_t size) except -1:
        cdef bint remembered = self.sequence - sequence <= self.ring_mask + 1
        if not remembered or self.ring[sequence & self.ring_mask].sent_ns == 0:
            self.echo.duplicate += 1
            return 0
        self.echo.lost -= 1
        self.echo.reordered += 1
        return self.answered(sequence, size)

    # --- messages ------------------------------------------------------------------------------

    cdef int send_now(self) except -1:
        return self.send_next()

    cdef int send_next(self) except -1:
        cdef EchoEngine echo = self.echo
        if echo.budget <= 0 or not echo.sending or echo.now > echo.deadline:
            return 0
        if not self.may_send():
            return 0
        echo.budget -= 1
        return self.send_due(0)

    cdef int send_due(self, uint64_t due_ns) except -1:
        cdef EchoEngine echo = self.echo
        cdef uint32_t sequence = self.sequence
        cdef const uint8_t *payload
        cdef size_t size
        if not self.has_room():
            echo.backlog += 1
            return 0
        if due_ns == 0 and echo.dates:
            due_ns = echo.now
        self.ring[sequence & self.ring_mask].due_ns = due_ns
        self.ring[sequence & self.ring_mask].sent_ns = echo.now
        echo.sent += 1
        self.sequence += 1
        payload = echo.payload.write(sequence, self.number, due_ns, &size)
        if echo.fragmented:
            return self.send_frames(payload, size)
        if echo.pings:
            return self.connection.send_control(PING, payload, size)
        return self.connection.send_payload(echo.payload.opcode, payload, size)

    cdef int send_frames(self, const uint8_t *payload, size_t size) except -1:
        """RFC 6455 section 5.4."""
        cdef EchoEngine echo = self.echo
        cdef size_t count = echo.frames, number, first = 0, behind
        cdef int opcode = echo.payload.opcode
        if not count:
            count = max(<size_t>1, (size + echo.fragment_bytes - 1) // echo.fragment_bytes)
        for number in range(1, count + 1):
            behind = min(size, number * echo.fragment_bytes)
            if echo.frames:
                behind = size * number // count
            self.connection.send_fragment(opcode, payload + first, behind - first, number == count)
            first, opcode = behind, CONTINUATION
        return 0

    cdef int flush_cork(self) except -1:
        """What was sent since the last time leaves now: that is the time that counts."""
        if self.admitted and self.echo.outbox.put(self):
            return 0
        if self.dated != self.sequence and not self.waits:
            self.on_left(clock_ns())
        return Transport.flush_cork(self)

    cdef int on_left(self, uint64_t when) except -1:
        cdef Sent *entry
        self.echo.now = when
        while self.dated != self.sequence:
            entry = &self.ring[self.dated & self.ring_mask]
            entry.sent_ns = when
            if entry.due_ns == 0:
                entry.due_ns = when
            elif entry.due_ns >= self.echo.warm_ns:
                self.echo.lag.record(when - entry.due_ns)
                if self.echo.stages is not None:
                    self.echo.stages.sent(entry.due_ns, when)
            self.dated += 1
        return 0

    cdef int begin_sending(self) except -1:
        """A turn that no event began: what it sends leaves with it, or with those that follow."""
        if self.echo.schedule is not None:
            return 0
        cdef Stream before = self.loop.turn
        self.engine.now = clock_ns()
        self.loop.turn = self
        try:
            for _ in range(self.echo.in_flight):
                self.send_next()
            self.flush_cork()
        finally:
            self.loop.turn = before  # itself, when it was opened again within the window
        return 0

    cdef bint has_room(self) except -1:
        if self.sequence - self.expected <= self.ring_mask:
            return True
        if self.ring_mask + 1 >= MOST_UNDER_WAY or self.queued() > MOST_QUEUED:
            return False
        self.grow()
        return True

    cdef int grow(self) except -1:
        cdef uint32_t size = self.ring_mask + 1 if self.ring != NULL else 0
        cdef uint32_t wanted = max(size * 2, self.echo.in_flight, <uint32_t>RING)
        cdef uint32_t mask = (1 << (<object>(wanted - 1)).bit_length()) - 1
        cdef uint32_t sequence
        cdef Sent *ring = <Sent *>calloc(<size_t>mask + 1, sizeof(Sent))
        if ring == NULL:
            raise MemoryError(f"no memory for {mask + 1} messages under way")
        for sequence in range(self.sequence - min(self.sequence, size), self.sequence):
            ring[sequence & mask] = self.ring[sequence & self.ring_mask]
        free(self.ring)
        self.ring, self.ring_mask = ring, mask
        return 0

    # --- the end -------------------------------------------------------------------------------

    cdef int give_up(self) except -1:
        cdef EchoEngine echo = self.echo
        cdef Sent *entry
        echo.unanswered += self.sequence - self.expected
        while echo.settling and self.expected != self.sequence:
            entry = &self.ring[self.expected & self.ring_mask]
            if entry.due_ns >= echo.warm_ns:
                echo.censored += 1
                echo.censored_ns = min(echo.censored_ns, echo.now - entry.sent_ns)
                echo.record(entry)
                if echo.stages is not None:
                    echo.stages.censor(entry.due_ns)
            self.expected += 1
        self.expected = self.sequence
        return 0


@cython.final
cdef class EchoEngine(ScheduledEngine):
    """The connections of one process, and the messages that they echo.

    Args:
        loop: where they live.
        plan: what to do, a `wsfast.loadgen.plan.Plan`.

    Raises:
        ValueError: the plan keeps too many messages under way, or none; or a value of its
            payload, template, match or schedule is out of range.
    """

    def __init__(self, Loop loop not None, plan):
        if not 1 <= plan.in_flight <= MAX_IN_FLIGHT:
            raise ValueError(f"{plan.in_flight} in flight is not 1 to {MAX_IN_FLIGHT}")
        template, content, least = None, b"", None
        if plan.template is None:
            content, least = content_of(plan), plan.least_size
        else:
            template = Template(plan.template, seed=plan.seed, worker=plan.worker)
        self.payload = Payload(
            content,
            text=plan.text,
            least=least,
            mean=plan.mean_size,
            verify=plan.verify,
            stamped=plan.content is None,
            template=template,
        )
        self.reply = None if plan.match is None else Reply(plan.match, text=plan.text)
        self.dates = template is not None and template.timed
        self.frames, self.fragment_bytes = plan.fragments, plan.fragment_bytes
        self.fragmented = self.frames or self.fragment_bytes
        if plan.stages:
            self.stages = StageCounts([seconds for seconds, _ in plan.stages])
        self.pings = plan.mode == "ping"
        self.in_flight = plan.in_flight
        self.actual, self.intended = Histogram(), Histogram()
        self.warmup = Histogram()
        self.censored_ns = UINT64_MAX
        ScheduledEngine.__init__(self, loop, plan)
        if plan.rate is None and self.settings.make_session is None:
            self.outbox = open_outbox(loop, plan.connections)

    cdef Settings make_settings(self):
        """Limits under which reading never stops: server and generator would wait for each other.

        All that a connection may have under way fits into its queue.
        """
        cdef size_t size = self.payload.size
        cdef size_t frames = self.frames, replies = (1 if self.reply is None else 16) << 20
        if self.fragment_bytes and not frames:
            frames = size // self.fragment_bytes
        cdef size_t most = (size + 64 + 14 * frames) * self.in_flight + (1 << 20)
        if self.plan.rate is not None:
            most = max(most, <size_t>2 * MOST_QUEUED + size)
        return Settings(
            self.loop,
            Role.CLIENT,
            None,
            None,
            limits=Limits(
                max_message_bytes=max(size, replies),
                high_water_bytes=most,
                low_water_bytes=most // 2,
                max_queue_bytes=2 * most,
                opening_seconds=self.plan.connect_seconds,
                ping_interval_seconds=None,
            ),
        )

    cdef LoadConnection new_connection(self):
        cdef EchoConnection connection = EchoConnection(self.settings)
        connection.echo = self
        connection.grow()
        return connection

    # --- the window ----------------------------------------------------------------------------

    @property
    def outstanding(self):
        return self.outstanding_messages()

    cdef bint is_exhausted(self) noexcept:
        return self.budget <= 0 and self.outstanding_messages() == 0

    cdef uint64_t outstanding_messages(self) noexcept:
        return self.sent - self.received - self.lost - self.unanswered

    @property
    def batches(self):
        return self.outbox is not None

    cdef int record(self, Sent *entry) except -1:
        cdef uint64_t now = self.now
        if entry.due_ns < self.warm_ns:
            self.warmup.record(now - entry.due_ns)
            return 0
        self.actual.record(now - entry.sent_ns)
        if self.schedule is not None:
            self.intended.record(now - entry.due_ns)
        if self.stages is not None:
            self.stages.answered(entry.due_ns, entry.sent_ns, now)
        return 0

    def begin(self, start_ns):
        ends = ScheduledEngine.begin(self, start_ns)
        if self.stages is not None:
            self.stages.begin(self.warm_ns)
        return ends

    # --- counts --------------------------------------------------------------------------------

    def counts(self):
        return {
            **ScheduledEngine.counts(self),
            "received": self.received,
            "measured": self.measured,
            "measured_bytes": self.measured_bytes,
            "unanswered": self.unanswered,
            "censored": self.censored,
            "lost": self.lost,
            "reordered": self.reordered,
            "mismatch": self.mismatch,
            "duplicate": self.duplicate,
            "unexpected": self.unexpected,
            "foreign": self.foreign,
        }

    @property
    def latency(self):
        """The Histogram that counts: from intended time; of a closed loop from actual time."""
        return self.actual if self.schedule is None else self.intended

    def histograms(self):
        found = ScheduledEngine.histograms(self)
        found.update(actual=self.actual, warmup=self.warmup)
        if self.schedule is not None:
            found["intended"] = self.intended
        return found
