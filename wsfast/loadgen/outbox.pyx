# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: cdivision=True
# (as many connections wait as the batch has messages; nothing is divided by its number if it is 0)
"""Where messages of a turn wait to leave together, with one system call for sixteen of them.

A connection is admitted when it is open, and dismissed when its socket was closed: until then the
batch holds the file, so the peer would see no end. Who is admitted puts in what it has in the
loop's cork, but for large messages and a Close, which leave at once, behind what waits. The box
leaves when it is full, when one comes a second time, and at the end of the turn.

The time at which a message left is not that of the system call: the sends of a batch are made one
behind the other, and each takes about as long, so its time is put between begin and end of the
call by its place. That is right to a microsecond or two, where the call as a whole takes a
hundred.

Where the system has no io_uring, or with WSFAST_IO_URING=0 in the environment, there is no outbox,
and each connection sends by itself.
"""

from cpython.list cimport PyList_GET_ITEM
from libc.stdint cimport uint32_t, uint64_t

from wsfast.buffer cimport Buffer
from wsfast.loadgen.engine cimport LoadConnection, clock_ns
from wsfast.loadgen.sendbatch cimport BATCH_MESSAGES, MESSAGE_BYTES, SendBatch
from wsfast.loop cimport Loop
from wsfast.transport cimport refused

import os

__all__ = ["Departing", "Outbox"]


cdef Outbox open_outbox(object loop, uint32_t connections):
    cdef Outbox outbox = Outbox()
    if os.environ.get("WSFAST_IO_URING") == "0":
        return None
    try:
        outbox.batch = SendBatch(connections)
    except OSError:
        return None
    (<Loop>loop).selector.add_stream(outbox, -1, 0)
    return outbox


cdef class Departing(LoadConnection):
    """A connection that may put what it sends into an Outbox; a mode subclasses it."""

    cdef int on_left(self, uint64_t when) except -1:
        return 0


cdef class Outbox(Stream):
    """The messages of one loop; `open_outbox` makes it."""

    def __cinit__(self):
        self.waiting = [None] * BATCH_MESSAGES

    cdef void admit(self, Departing connection) noexcept:
        try:
            self.batch.assign(connection.slot, connection.fd)
            connection.admitted = True
        except OSError:  # it sends by itself
            connection.admitted = False

    cdef int dismiss(self, Departing connection) except -1:
        self.leave()  # what it said last
        connection.admitted = False
        return self.batch.assign(connection.slot, -1)

    cdef bint put(self, Departing connection) except -1:
        cdef Buffer cork = connection.loop.cork
        cdef bint alone = cork.end > MESSAGE_BYTES or connection.connection.close_sent
        if alone or (connection.waits and cork.end):  # the sends of a batch know no order
            self.leave()
            if connection.queue is not None:  # some of what left was refused, and goes first
                connection.enqueue(cork.data, cork.end)
                cork.end = 0
        if alone or not cork.end:
            return False
        self.waiting[self.batch.count] = connection
        self.batch.add(connection.slot, cork.data, cork.end)
        cork.end = 0
        connection.waits = True
        if self.batch.count == BATCH_MESSAGES:
            self.leave()
        else:
            connection.loop.selector.at_turn_end(self)
        return True

    cdef int on_turn_end(self) except -1:
        return self.leave()

    cdef int leave(self) except -1:
        cdef SendBatch batch = self.batch
        cdef Departing connection
        cdef uint64_t begun, took
        cdef uint32_t i, size, count = batch.count
        cdef Py_ssize_t sent
        if not count:
            return 0
        begun = clock_ns()
        batch.submit()
        took = clock_ns() - begun
        batch.clear()
        for i in range(count):
            connection = <Departing>PyList_GET_ITEM(self.waiting, i)
            connection.waits = False
            connection.on_left(begun + took * i // count)
            if connection.fd >= 0:
                size = batch.begins[i + 1] - batch.begins[i]
                sent = batch.results[i]
                if sent < 0:
                    sent = refused(connection.fd, <int>-sent, size)
                connection.finish_send(batch.data + batch.begins[i], size, sent)
        return 0
