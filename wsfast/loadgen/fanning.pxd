"""Fanout and recv modes: messages that few send and many get, and how evenly they come."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.scheduled cimport ScheduledConnection, ScheduledEngine


cdef struct Mark:
    uint64_t number               # of the message, over all publishers
    uint64_t due_ns               # when it should have left
    uint64_t sent_ns              # when it left


@cython.final
cdef class FanConnection(ScheduledConnection):
    cdef FanEngine fan            # its engine
    cdef bint publishes           # it sends, and what comes to it does not count
    cdef size_t lane              # of a publisher: which one it is
    cdef uint64_t last_ns         # when the latest message came; 0: none did
    cdef uint64_t *latest         # of each publisher the latest round seen, plus one; 0: none

    cdef int delivered(self, Mark *mark) except -1        # a message of a publisher came
    cdef int place(self, uint64_t number) except -1       # in order, lost, doubled or late?


@cython.final
cdef class FanEngine(ScheduledEngine):
    cdef uint64_t publishers      # connections that send, the first ones of this process
    cdef uint64_t lanes           # publishers of the whole run: number = round * lanes + lane
    cdef uint64_t topics          # a round goes to one of them in turn
    cdef uint64_t gap_ns          # a longer time between two messages is a gap
    cdef bytes before             # what stands in front of the mark in every message
    cdef bytes behind             # and behind it
    cdef int opcode               # of every message
    cdef list numbers             # of each publisher the number of its next message

    cdef readonly Histogram actual        # delivery from the time when a message left
    cdef readonly Histogram intended      # from the time when it was due
    cdef readonly Histogram warmup        # of the warm-up, from the time when it was due
    cdef readonly Histogram interarrival  # from one message of a connection to the next
    cdef readonly list worst      # of each message its slowest delivery here, in ns
    cdef uint64_t received        # deliveries
    cdef uint64_t measured        # those that came within the window
    cdef uint64_t measured_bytes  # their payload
    cdef uint64_t lost            # deliveries that a later one overtook, for good
    cdef uint64_t reordered       # deliveries that a later one had overtaken
    cdef uint64_t duplicate       # deliveries of a message that was delivered before
    cdef uint64_t unexpected      # messages without a mark
    cdef uint64_t gaps            # times between messages that were too long

    cdef bytes message(self, uint64_t number, uint64_t due_ns)    # the next one
    cdef int keep_worst(self, uint64_t number, uint64_t latency) except -1
