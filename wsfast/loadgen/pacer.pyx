# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (nothing is indexed or divided here)
"""A stream that wakes its loop at an exact time.

The timing wheel of the selector has ticks of 1/16 s, right for deadlines. A load that is due at a
certain nanosecond has a timerfd of its own in the same epoll set: absolute, and not subject to
the slack that the kernel adds to the time-outs of system calls.

A core that sleeps wakes late all the same, by 50 us and now and then by a millisecond. Who wants
to be exact has the timer expire early, and does not read it until the time has come: meanwhile
the loop polls, and serves whatever else is ready.
"""

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, itimerspec
from posix.unistd cimport close

from wsfast.loadgen.engine cimport clock_ns
from wsfast.selector cimport READABLE

cdef extern from "<sys/timerfd.h>":
    enum: TFD_CLOEXEC
    enum: TFD_NONBLOCK
    enum: TFD_TIMER_ABSTIME
    int timerfd_create(int clock, int flags) nogil
    int timerfd_settime(int fd, int flags, const itimerspec *value, itimerspec *old) nogil

__all__ = ["Pacer"]

cdef uint64_t SECOND = 1_000_000_000


cdef class Pacer(Stream):
    """A timer of nanoseconds on a selector.

    Args:
        selector: the EpollSelector that it wakes.
        early_ns: for so long before its time the loop polls instead of sleeping.

    Raises:
        OSError: there is no descriptor left for it.
    """

    def __cinit__(self, EpollSelector selector not None, uint64_t early_ns=0):
        self.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if self.timer < 0:
            raise OSError(errno, "timerfd_create")
        self.home = selector
        self.early_ns = early_ns
        selector.add_stream(self, self.timer, READABLE)

    def __dealloc__(self):
        if self.timer >= 0:
            close(self.timer)

    def close(self):
        """Leave the selector and give the descriptor back. Idempotent."""
        cdef int timer = self.timer
        if timer >= 0:
            self.home.remove_stream(self)
            self.timer = -1
            close(timer)

    def wake_at(self, uint64_t when_ns):
        """End a `select()` at this time; instead of any earlier one.

        Args:
            when_ns: as `time.monotonic_ns()` has it. A time that is past wakes at once; 0 never.
        """
        self.arm(when_ns)

    cdef int arm(self, uint64_t when_ns) except -1:
        cdef itimerspec value
        if when_ns == self.armed_ns or self.timer < 0:
            return 0
        self.armed_ns = when_ns
        if when_ns > self.early_ns:
            when_ns -= self.early_ns
        value.it_interval.tv_sec = value.it_interval.tv_nsec = 0
        value.it_value.tv_sec = <long>(when_ns // SECOND)
        value.it_value.tv_nsec = <long>(when_ns % SECOND)
        if timerfd_settime(self.timer, TFD_TIMER_ABSTIME, &value, NULL) != 0:
            raise OSError(errno, "timerfd_settime")
        return 0

    cdef int on_ready(self, uint32_t events) except -1:
        if self.early_ns and clock_ns() < self.armed_ns:
            return 0  # readable as before, so that the loop comes back at once
        self.arm(0)  # setting it, to nothing as well, forgets that it has expired
        return self.on_time()

    cdef int on_time(self) except -1:
        return 0
