# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: cdivision=True
# (pointers with sizes checked by hand; divisors are 1 or more; one thread owns an engine)
"""Fanout and recv modes: messages that few send and many get, and how evenly they come.

A publisher's message holds a mark: its number and the times when it was due and when it left, in
hexadecimal digits behind a fixed word, so that it is found in whatever a server wraps around it.
All processes of a run share CLOCK_MONOTONIC; what a subscriber measures is the one-way latency of
its own delivery.

Messages are numbered over all publishers in turn, and the rounds go to the topics in turn. Of each
publisher a subscriber must therefore see every round of its topic, in order: what is missing was
lost, unless it still comes. The slowest delivery of every message is kept: how long it took until
the last subscriber had it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from wsfast.loadgen.engine cimport LoadConnection
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.scheduled cimport ScheduledConnection, ScheduledEngine
from wsfast.loop cimport Loop
from wsfast.settings cimport Settings

from wsfast.limits import Limits
from wsfast.loadgen.plan import content_of
from wsfast.rfc6455 import Opcode, Role

__all__ = ["MARK_BYTES", "FanConnection", "FanEngine", "find_mark"]

cdef extern from *:
    """
    #include <string.h>
    void *memmem(const void *, size_t, const void *, size_t);
    """
    void *memmem(const void *where, size_t size, const void *what, size_t length) nogil

cdef enum:
    WORD_SIZE = 4
    MARK_SIZE = WORD_SIZE + 48    # the word, and three numbers of 16 digits

cdef bytes WORD = b"wsb:"
cdef const char *WORD_BYTES = WORD

#: Quiet turns behind which no delivery is expected: while some are missing, and when all came.
MISSING_TURNS, COMPLETE_TURNS = 20, 4

cdef int TEXT = Opcode.TEXT
cdef int BINARY = Opcode.BINARY

#: Bytes of a mark: the least size of a message.
MARK_BYTES = MARK_SIZE


cdef bint read_hex(const uint8_t *digits, uint64_t *number) noexcept nogil:
    """16 lower-case hexadecimal digits; False if they are not."""
    cdef uint64_t found = 0
    cdef uint8_t digit
    cdef int i
    for i in range(16):
        digit = digits[i]
        if 48 <= digit <= 57:
            digit -= 48
        elif 97 <= digit <= 102:
            digit -= 87
        else:
            return False
        found = found << 4 | digit
    number[0] = found
    return True


cdef bint read_mark(const uint8_t *payload, size_t size, Mark *mark) noexcept nogil:
    """The first mark in a payload; False if there is none."""
    cdef const uint8_t *found = <const uint8_t *>memmem(payload, size, WORD_BYTES, WORD_SIZE)
    if found == NULL or <size_t>(payload + size - found) < MARK_SIZE:
        return False
    found += WORD_SIZE
    return (
        read_hex(found, &mark.number)
        and read_hex(found + 16, &mark.due_ns)
        and read_hex(found + 32, &mark.sent_ns)
    )


def find_mark(bytes payload not None):
    """(number, due_ns, sent_ns) of the first mark in a payload, or None."""
    cdef Mark mark
    if read_mark(
        <const uint8_t *>PyBytes_AS_STRING(payload), <size_t>PyBytes_GET_SIZE(payload), &mark
    ):
        return mark.number, mark.due_ns, mark.sent_ns
    return None


@cython.final
cdef class FanConnection(ScheduledConnection):
    """One connection of a FanEngine, which makes it: a publisher or a subscriber."""

    def __dealloc__(self):
        free(self.latest)

    cdef bint has_turns(self) noexcept:
        return self.publishes and self.may_send()

    cdef int send_due(self, uint64_t due_ns) except -1:
        cdef FanEngine fan = self.fan
        cdef uint64_t number = fan.numbers[self.lane]
        cdef bytes message = fan.message(number, due_ns)
        fan.numbers[self.lane] = number + fan.lanes
        fan.sent += 1
        if due_ns >= fan.warm_ns:
            fan.lag.record(fan.now - due_ns)
        return self.connection.send_payload(
            fan.opcode,
            <const uint8_t *>PyBytes_AS_STRING(message),
            <size_t>PyBytes_GET_SIZE(message),
        )

    cdef int take(self, int opcode, const uint8_t *payload, size_t size) except -1:
        cdef FanEngine fan = self.fan
        cdef uint64_t now = fan.now
        cdef Mark mark
        if fan.settled or self.publishes or (not fan.lanes and now > fan.deadline):
            return 0
        fan.received += 1
        fan.last_answer = now
        if fan.warm_ns <= now <= fan.deadline:
            fan.measured += 1
            fan.measured_bytes += size
            if self.last_ns:
                fan.interarrival.record(now - self.last_ns)
                fan.gaps += now - self.last_ns > fan.gap_ns
        self.last_ns = now
        if not fan.lanes:
            return 0
        if not read_mark(payload, size, &mark):
            fan.unexpected += 1
            fan.received -= 1
            return 0
        return self.delivered(&mark)

    cdef int delivered(self, Mark *mark) except -1:
        cdef FanEngine fan = self.fan
        self.place(mark.number)
        if mark.due_ns < fan.warm_ns:
            fan.warmup.record(fan.now - mark.due_ns)
            return 0
        fan.intended.record(fan.now - mark.due_ns)
        fan.actual.record(fan.now - mark.sent_ns)
        return fan.keep_worst(mark.number, fan.now - mark.due_ns)

    cdef int place(self, uint64_t number) except -1:
        cdef FanEngine fan = self.fan
        cdef uint64_t lane = number % fan.lanes
        cdef uint64_t turn = number // fan.lanes // fan.topics + 1
        cdef uint64_t latest = self.latest[lane]
        if turn > latest:
            fan.lost += turn - latest - 1
            self.latest[lane] = turn
        elif turn == latest:
            fan.duplicate += 1
            fan.received -= 1
        else:
            fan.reordered += 1
            fan.lost -= min(fan.lost, <uint64_t>1)
        return 0


@cython.final
cdef class FanEngine(ScheduledEngine):
    """The publishers and subscribers of one process.

    Args:
        loop: where they live.
        plan: what to do, a `wsfast.loadgen.plan.Plan`.

    Raises:
        ValueError: the envelope has no "{payload}".
    """

    def __init__(self, Loop loop not None, plan):
        self.publishers = plan.publishers
        self.lanes = plan.lanes
        self.numbers = list(range(plan.lanes))
        self.topics = plan.topics
        self.gap_ns = int(plan.gap_seconds * 1e9)
        self.opcode = TEXT if plan.text else BINARY
        filler = content_of(plan)[MARK_SIZE:]
        before, found, behind = plan.envelope.partition("{payload}")
        if not found:
            raise ValueError(f"the envelope {plan.envelope!r} has no {{payload}}")
        self.before = before.encode()
        self.behind = filler + behind.encode()
        self.actual, self.intended = Histogram(), Histogram()
        self.warmup, self.interarrival = Histogram(), Histogram()
        self.worst = []
        ScheduledEngine.__init__(self, loop, plan)

    cdef Settings make_settings(self):
        return Settings(
            self.loop,
            Role.CLIENT,
            None,
            None,
            limits=Limits(
                max_message_bytes=16 << 20,
                high_water_bytes=64 << 20,
                low_water_bytes=32 << 20,
                max_queue_bytes=128 << 20,
                opening_seconds=self.plan.connect_seconds,
                ping_interval_seconds=None,
            ),
        )

    cdef LoadConnection new_connection(self):
        cdef FanConnection connection = FanConnection(self.settings)
        connection.fan = self
        if self.lanes:
            connection.latest = <uint64_t *>calloc(self.lanes, sizeof(uint64_t))
            if connection.latest == NULL:
                raise MemoryError(f"no memory for {self.lanes} publishers")
        return connection

    def connect(self, index):
        """As Engine.connect; the first connections of the process are its publishers."""
        ScheduledEngine.connect(self, index)
        cdef FanConnection connection = self.connections[index]
        if connection is not None:
            connection.publishes = <uint64_t>index < self.publishers
            connection.lane = index

    cdef size_t senders(self) noexcept:
        cdef FanConnection connection
        cdef size_t index, found = 0
        for index in range(min(self.publishers, <uint64_t>len(self.connections))):
            connection = <FanConnection>self.connections[index]
            found += connection is not None and connection.has_turns()
        return found

    cdef bytes message(self, uint64_t number, uint64_t due_ns):
        topic = number // self.lanes % self.topics
        mark = b"wsb:%016x%016x%016x" % (number, due_ns, self.now)
        before = self.before.replace(b"{topic}", b"%d" % topic)
        return before + mark + self.behind.replace(b"{topic}", b"%d" % topic)

    cdef int keep_worst(self, uint64_t number, uint64_t latency) except -1:
        cdef list worst = self.worst
        while <uint64_t>len(worst) <= number:
            worst.append(0)
        if <uint64_t>worst[number] < latency:
            worst[number] = latency
        return 0

    @property
    def latency(self):
        """The Histogram that counts: deliveries from intended time; without publishers gaps."""
        return self.intended if self.lanes else self.interarrival

    @property
    def outstanding(self):
        """Deliveries that are still to come; 1 where this process does not know how many."""
        if self.publishers < self.lanes or self.topics > 1:
            return 1
        owed = int(self.sent) * max(0, int(self.live) - int(self.publishers))
        return max(0, owed - int(self.received))

    @property
    def patience(self):
        if not self.lanes:
            return 0
        return MISSING_TURNS if self.outstanding else COMPLETE_TURNS

    @property
    def censored_ns(self):
        """Nothing is censored: what did not come is missing from the reach."""
        return 0

    def counts(self):
        return {
            **ScheduledEngine.counts(self),
            "received": self.received,
            "measured": self.measured,
            "measured_bytes": self.measured_bytes,
            "lost": self.lost,
            "reordered": self.reordered,
            "duplicate": self.duplicate,
            "unexpected": self.unexpected,
            "gaps": self.gaps,
        }

    def histograms(self):
        found = ScheduledEngine.histograms(self)
        found.update(interarrival=self.interarrival, warmup=self.warmup)
        if self.lanes:
            found.update(actual=self.actual, intended=self.intended)
        return found
