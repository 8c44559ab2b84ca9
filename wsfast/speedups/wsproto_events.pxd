# What a wsproto Connection has received, as events.
from wsfast.speedups.wsproto_names cimport Names
from wsfast.speedups.wsproto_parser cimport FrameParser, Lazy


# What Connection.events() returns.
cdef class EventIterator(Lazy):
    cdef object connection
    cdef Names names
    cdef object original           # the library's own events()
    cdef readonly FrameParser parser      # once the queued events are out: its own, if plain
    cdef object source             # else what the original returned

    # Take the parser of the FrameProtocol, if it is plain.
    cdef bint find_parser(self, object protocol) except -1

    # The event for the frame that the parser found.
    cdef object event(self)

    # The same for a Close, which changes the connection's state.
    cdef object close_event(self, object payload)
