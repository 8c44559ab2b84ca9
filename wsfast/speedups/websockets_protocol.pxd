# The sans-I/O core of websockets: all frames of one read, and the frames of messages to send.
from libc.stdint cimport uint8_t

from wsfast.frame cimport FrameHeader
from wsfast.speedups.websockets_names cimport Names


# How much a connection accepts, as its Protocol has it; PY_SSIZE_T_MAX is no limit.
cdef struct Limits:
    Py_ssize_t message          # bytes of a message
    Py_ssize_t fragment         # bytes of a frame
    Py_ssize_t received         # bytes of the unfinished message; -1 if there is none


# What is left in Protocol.writes instead of a frame that could not be written: raises the error
# when the library looks whether it is the end of the stream.
cdef class Failure:
    cdef object error


# Frames of one read, while they are taken.
cdef class Batch:
    cdef Names names
    cdef object protocol
    cdef dict own                # its attributes
    cdef list events             # where they go
    cdef object extension        # a PerMessageDeflate, or None
    cdef bint mask               # whether frames have to be masked
    cdef Limits limits
    cdef const uint8_t *data     # the read; the caller keeps it alive
    cdef Py_ssize_t size         # of it in bytes
    cdef Py_ssize_t offset       # where the next frame begins

    # Take the complete, valid frames up to one that is neither, or is a CLOSE; what is raised
    # for a frame leaves the offset behind it.
    cdef int take_all(self) except -1

    # Whether it is a frame that is taken here.
    cdef bint is_ours(self, FrameHeader *header) except -1

    # Make an event of a frame.
    cdef int take(self, const uint8_t *data, FrameHeader *header) except -1

    # The payload as the library hands it out, decompressed.
    cdef object payload(self, const uint8_t *data, FrameHeader *header)

    # Note how much of a message is there.
    cdef int count(self, FrameHeader *header, object payload) except -1

    # Bytes that the next frame may have; negative if there are more than the limit already.
    cdef Py_ssize_t limit(self) noexcept


# The frame of a whole message; None, and nothing has been done, if the library has to send it.
cdef bytes frame_of_message(Names names, object protocol, object message, object text)

# Have the library meet an error, as if its own write had raised it, when it writes next.
cdef int leave_failure(object protocol, object error) except -1
