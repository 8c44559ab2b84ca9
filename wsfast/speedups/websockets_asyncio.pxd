# Messages of websockets' asyncio connections: out of the queue, and to the transport.
from wsfast.speedups.methods cimport Methods
from wsfast.speedups.websockets_names cimport Names


# The classes of websockets.asyncio, and what is watched of them, as of one install.
cdef class Connections:
    cdef Names names
    cdef object SimpleQueue
    cdef Methods assembler         # what get() and put() call on an Assembler
    cdef Methods queue             # and on its queue
    cdef Methods connection        # what send() calls on a Connection
    cdef str in_progress           # what a Connection calls its future of a fragmented message

    # The deque of an assembler whose first item get() would return at once; None if it is not
    # that simple.
    cdef object ready_queue(self, object assembler)

    # Whether put() was done.
    cdef bint put(self, object assembler, object frame) except -1


# What Assembler.get returns: a coroutine, as far as awaiting it goes.
cdef class MessageGetter:
    cdef Connections connections
    cdef object original           # Assembler.get
    cdef object assembler
    cdef object decode             # as it was called with
    cdef object coroutine          # the original's, once it has taken over
    cdef bint finished

    # Return through StopIteration, or start the original.
    cdef object start(self)
