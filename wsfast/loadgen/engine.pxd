"""The load engine of a process: connections that keep messages under way, and their counts."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from wsfast.endpoint cimport Endpoint
from wsfast.loadgen.histogram cimport Histogram
from wsfast.loadgen.payload cimport Payload
from wsfast.loop cimport Loop
from wsfast.settings cimport Settings


@cython.final
cdef class LoadConnection(Endpoint):
    cdef Engine engine            # whom it belongs to
    cdef uint64_t *sent_at        # ring: when each message under way was sent, in ns
    cdef uint64_t begun           # when connect() was called, in ns
    cdef uint32_t number          # among the connections of all workers; part of the stamp
    cdef uint32_t slot            # where Engine.connections holds it
    cdef uint32_t sequence        # of the next message that it sends
    cdef uint32_t dated           # messages before it have their final time in sent_at
    cdef uint32_t expected        # of the next answer; sequence - expected are under way
    cdef int broken               # errno with which the socket failed; 0: it did not
    cdef str key                  # the Sec-WebSocket-Key that it sent; None once open
    cdef bytes received           # what has come of the answer to the handshake

    cdef int take(self, int opcode, const uint8_t *payload, size_t size) except -1   # an answer
    cdef int judge(self, int opcode, const uint8_t *payload, size_t size) except -1  # a bad one
    cdef int answered(self) except -1     # the expected answer came
    cdef int send_next(self) except -1    # one message, if any may still be sent
    cdef int begin_sending(self) except -1                # the first in_flight messages
    cdef int give_up(self) except -1                      # what is under way stays unanswered


@cython.final
cdef class Engine:
    # what to do
    cdef Loop loop                # where the connections live
    cdef Settings settings        # theirs
    cdef object plan              # wsfast.loadgen.plan.Plan
    cdef object opener            # wsfast.loadgen.opening.Opener
    cdef Payload payload          # of every message
    cdef uint32_t in_flight       # messages that a connection keeps under way
    cdef uint32_t ring_mask       # size of the rings, a power of two >= in_flight, minus one

    # the window
    cdef uint64_t now             # when the latest read returned, in ns
    cdef bint sending             # an answer is followed by the next message
    cdef bint settled             # what happens from now on is no longer counted
    cdef uint64_t deadline        # end of the window in ns: nothing is sent after it
    cdef int64_t budget           # messages that may still be sent
    cdef readonly uint64_t last_answer    # when the latest one came, in ns

    # what was counted
    cdef list connections         # LoadConnection by slot; None: it has no socket
    cdef readonly dict errors     # how often, by cause: an errno or the name of a kind
    cdef readonly Histogram latency       # round trips
    cdef readonly Histogram handshake     # from connect() to the checked 101
    cdef readonly uint64_t pending        # connections on their way
    cdef readonly uint64_t live           # open connections
    cdef readonly uint64_t held           # connections with a socket, whatever their state
    cdef uint64_t opened          # connections that opened
    cdef uint64_t failed          # connections that did not
    cdef uint64_t sent            # messages; sent = received + lost + unanswered + under way
    cdef uint64_t received        # their answers
    cdef uint64_t measured        # those that came within the window
    cdef uint64_t lost            # messages that a later answer overtook
    cdef uint64_t unanswered      # messages that were still under way at the end
    cdef uint64_t mismatch        # answers whose content is not what was sent
    cdef uint64_t duplicate       # answers to a message that was answered before
    cdef uint64_t unexpected      # messages while none was under way

    cdef Settings make_settings(self)     # limits and deadlines that follow from the plan
    cdef int open_socket(self, object index) except -1    # a descriptor on its way to the target
    cdef int count_error(self, object cause) except -1    # unless settled
