"""A stream that wakes its loop at an exact time."""

from libc.stdint cimport uint32_t, uint64_t

from wsfast.selector cimport EpollSelector, Stream


cdef class Pacer(Stream):
    # Subclass it and override on_time.
    cdef int timer                        # the timerfd; -1 once closed
    cdef uint64_t armed_ns                # what it is set to; 0: nothing
    cdef uint64_t early_ns                # for so long in front of its time the loop polls
    cdef EpollSelector home               # where it is registered until it is closed

    # Wake at this CLOCK_MONOTONIC time, at once if it is past; instead of any earlier one.
    cdef int arm(self, uint64_t when_ns) except -1
    cdef int on_time(self) except -1      # the time has come; nothing is armed any more
