"""Echo mode: messages that come back, in a closed loop or on a schedule."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.outbox cimport Outbox
from wsfast.loadgen.payload cimport Payload
from wsfast.loadgen.reply cimport Reply
from wsfast.loadgen.scheduled cimport ScheduledConnection, ScheduledEngine
from wsfast.loadgen.stagecounts cimport StageCounts


cdef struct Sent:
    uint64_t due_ns               # when it should have left; in a closed loop: when it did
    uint64_t sent_ns              # when it left; 0: it was answered


@cython.final
cdef class EchoConnection(ScheduledConnection):
    cdef EchoEngine echo          # its engine
    cdef Sent *ring               # the latest messages, by sequence number
    cdef uint32_t ring_mask       # how many, a power of two, minus one
    cdef uint32_t sequence        # of the next message that it sends
    cdef uint32_t dated           # messages before it have their final time in the ring
    cdef uint32_t expected        # of the next answer; sequence - expected are under way

    # Whether it is the answer to the message of that number.
    cdef bint is_answer(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t sequence
    ) noexcept
    # A message, or in ping mode a pong, that may be the answer to one of ours.
    cdef int take_answer(self, int opcode, const uint8_t *payload, size_t size) except -1
    # The same where a Reply says which message it answers.
    cdef int take_reply(self, int opcode, const uint8_t *payload, size_t size) except -1
    cdef int judge(self, int opcode, const uint8_t *payload, size_t size) except -1  # a bad one
    cdef int answered(self, uint32_t sequence, size_t size) except -1     # with so many bytes
    cdef int follow(self) except -1       # closed loop: what an answer is followed by
    cdef int skip(self, uint32_t count) except -1         # the next answers were overtaken
    # Its answer came, though it is a message before `expected`.
    cdef int answered_late(self, uint32_t sequence, size_t size) except -1
    cdef int send_next(self) except -1    # closed loop: one message, if any may still be sent
    cdef int send_frames(self, const uint8_t *payload, size_t size) except -1     # as fragments
    cdef bint has_room(self) except -1    # for one more under way
    cdef int grow(self) except -1         # the ring


@cython.final
cdef class EchoEngine(ScheduledEngine):
    # what to do
    cdef bint pings               # send pings, and take pongs for the answers
    cdef Payload payload          # of every message
    cdef Reply reply              # which message an answer is to; None: it is compared with them
    cdef bint dates               # a closed loop, too, needs the time when a message is due
    cdef bint fragmented          # messages are sent in fragments
    cdef size_t frames            # so many of each; 0: as many as fragment_bytes makes
    cdef size_t fragment_bytes    # payload of each but the last
    cdef Outbox outbox            # what answers are followed by leaves with it; None: at once
    cdef uint32_t in_flight       # messages that a connection of a closed loop keeps under way

    cdef readonly StageCounts stages      # by stage of the schedule; None: there are none

    # what was counted: sent = received + lost + unanswered + under way
    cdef readonly Histogram actual        # round trips from the time when a message left
    cdef readonly Histogram intended      # from the time when it was due; open loop only
    cdef readonly Histogram warmup        # of the warm-up, from the time when it was due
    cdef uint64_t received        # their answers
    cdef uint64_t measured        # those that came within the window
    cdef uint64_t measured_bytes  # payload bytes of those
    cdef uint64_t foreign         # messages that the Reply says are no answers
    cdef uint64_t lost            # messages that a later answer overtook, for good
    cdef uint64_t reordered       # answers that a later one had overtaken
    cdef uint64_t unanswered      # messages that were still under way at the end
    cdef uint64_t censored        # those of them that are in the histograms, as far as they got
    cdef readonly uint64_t censored_ns    # the shortest of these; 2**64 - 1: there is none
    cdef uint64_t mismatch        # answers whose content is not what was sent
    cdef uint64_t duplicate       # answers to a message that was answered before
    cdef uint64_t unexpected      # messages while none was under way

    cdef uint64_t outstanding_messages(self) noexcept     # sent, and not yet accounted for
    cdef int record(self, Sent *entry) except -1          # it took until now
