# The frames of one wsproto connection, one at a time.
from wsfast.speedups.wsproto_buffer cimport StreamBuffer
from wsfast.speedups.wsproto_decoder cimport Part
from wsfast.speedups.wsproto_names cimport Names


# An iterator with a generator's methods. Over after END, an error, or close().
cdef class Lazy:
    cdef bint done                 # nothing follows

    # The next value, or END.
    cdef object advance(self)


# What advance() returns after the last value.
cdef object END


# What FrameProtocol._parse_more_gen() returns: yields each Frame, and None where more bytes are
# needed; over after a Close or an error.
cdef class FrameParser(Lazy):
    cdef object protocol           # the FrameProtocol
    cdef Names names
    cdef object decoder            # what is_plain() found: the FrameDecoder,
    cdef dict held                 # its attributes,
    cdef dict messages             # those of the MessageDecoder,
    cdef StreamBuffer buffer       # and what the decoder reads from
    cdef bint started              # the disabled extensions were dropped

    # The frame that step() found.
    cdef int opcode
    cdef object payload
    cdef bint frame_finished
    cdef bint message_finished

    # Whether every method that the original would call is still ours; to be asked before step().
    cdef bint is_plain(self, Names names) except -1

    # Read a frame: 1, or 0 if there is none. Raises what the library raises.
    cdef bint step(self) except -1

    # Its payload, once: nothing is kept alive between two reads.
    cdef object claim(self)

    # The frame that step() found, as a Frame; claims the payload.
    cdef object frame(self)

    # What the original does before its first frame.
    cdef int start(self) except -1

    # What step() does when it is open: the next part, or for what the decoder did not leave to us
    # the next Frame, which takes the library's methods from there on.
    cdef bint read(self) except -1
    cdef bint take_part(self, Part *part) except -1
    cdef bint take_frame(self, object frame) except -1

    # The original's steps, through whatever methods there are: after process_buffer(), and all.
    cdef object through_methods(self, object frame)
    cdef object read_by_methods(self)


# Feed a FrameProtocol, or a FrameDecoder; 0, and nothing was done, if the original has to.
cdef bint feed(Names names, object protocol, object data) except -1
cdef bint feed_decoder(Names names, object decoder, object data) except -1


# What received_frames() returns.
cdef class FrameIterator(Lazy):
    cdef object protocol           # the FrameProtocol
    cdef Names names
    cdef FrameParser parser        # from the first step on, its parser if that is plain
    cdef object source             # else the iterator that stands there
