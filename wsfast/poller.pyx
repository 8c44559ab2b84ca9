# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# cython: cdivision=True
# (indices run over counts that the kernel returned; divisors are constants)
"""How the kernel reports readiness: epoll, or a selector of the standard library.

Both pollers do the same three things: descriptors with a 64-bit word of the caller's, one timer,
and a wake-up from any thread. `Epoll` has a timerfd and an eventfd in its epoll set, so that its
descriptor is readable whenever anything is to be done and another loop can wait for it. `Polled`
stands in where there is no epoll: it cuts its waits short for the timer and wakes up through a
socket pair; it never reports HANGUP, because the selectors of the standard library do not.

After a fork, parent and child share one epoll set: what the child removes is gone for the parent.
So close() only closes descriptors and never takes anything out of the set.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

import io
import selectors
import socket

__all__ = []

cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <time.h>
    #include <unistd.h>
    #ifdef __linux__
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/timerfd.h>
    #define WS_HAS_EPOLL 1
    static inline int set_timer(int timer, time_t seconds, long nanoseconds) {
        struct itimerspec when = {{0, 0}, {seconds, nanoseconds}};
        return timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
    }
    #else  /* what lets the same source compile; open_poller() never gets here */
    #define WS_HAS_EPOLL 0
    enum { EPOLLIN = 1, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 16 };
    enum { EPOLLRDHUP = 32, EPOLLET = 64 };
    enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3, EPOLL_CLOEXEC = 0 };
    enum { TFD_CLOEXEC = 0, TFD_NONBLOCK = 0, EFD_CLOEXEC = 0, EFD_NONBLOCK = 0 };
    struct epoll_event { uint32_t events; union { uint64_t u64; } data; };
    #define WS_NO_EPOLL (errno = ENOSYS, -1)
    #define epoll_create1(flags) WS_NO_EPOLL
    #define epoll_ctl(epoll, operation, fd, event) ((void)(event), WS_NO_EPOLL)
    #define epoll_wait(epoll, events, limit, timeout) WS_NO_EPOLL
    #define eventfd(value, flags) WS_NO_EPOLL
    #define timerfd_create(clock, flags) WS_NO_EPOLL
    #define set_timer(timer, seconds, nanoseconds) WS_NO_EPOLL
    #endif
    """
    bint WS_HAS_EPOLL
    int errno, EINTR
    uint32_t EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLET
    int EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLL_CLOEXEC
    int TFD_CLOEXEC, TFD_NONBLOCK, EFD_CLOEXEC, EFD_NONBLOCK
    int CLOCK_MONOTONIC
    ctypedef long time_t
    cdef union epoll_data:
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data data
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int epoll_create1(int flags) nogil
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event) nogil
    int epoll_wait(int epoll, epoll_event *events, int limit, int timeout) nogil
    int eventfd(unsigned int value, int flags) nogil
    int timerfd_create(int clock, int flags) nogil
    int set_timer(int timer, time_t seconds, long nanoseconds) nogil
    int clock_gettime(int clock, timespec *now) nogil
    ssize_t read(int fd, void *data, size_t size) nogil
    ssize_t write(int fd, const void *data, size_t size) nogil
    int c_close "close"(int fd) nogil

cdef enum:
    FEWEST_EVENTS = 1024            # room for so many in one epoll_wait at least
    LONGEST_WAIT = 0x7FFFFFFF       # milliseconds that epoll_wait can be given: 24 days
    NS_PER_MS = 1000000
    NS_PER_SECOND = 1000000000

cdef double LONGEST_POLL = 1e6      # seconds, 11 days: poll() refuses more than 24


cdef uint64_t clock_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * NS_PER_SECOND + <uint64_t>now.tv_nsec


cdef Poller open_poller(object backend):
    if backend is None and WS_HAS_EPOLL:
        return Epoll()
    return Polled(selectors.DefaultSelector if backend is None else backend)


cdef inline uint32_t to_epoll(uint32_t interest) noexcept nogil:
    cdef uint32_t events = 0
    if interest & READABLE:
        events |= EPOLLIN
    if interest & WRITABLE:
        events |= EPOLLOUT
    if interest & EDGE:
        events |= EPOLLET | EPOLLRDHUP
    return events


cdef inline uint32_t from_epoll(uint32_t events) noexcept nogil:
    cdef uint32_t ready = 0
    if events & EPOLLIN:
        ready |= READABLE
    if events & EPOLLOUT:
        ready |= WRITABLE
    if events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP):
        ready |= HANGUP
    return ready


cdef void *grown(void *block, size_t size) except NULL:
    block = realloc(block, size)
    if block == NULL:
        raise MemoryError(f"no memory for {size} bytes of events")
    return block


cdef int refuse(Poller poller) except -1:
    raise TypeError(f"{type(poller).__name__} is abstract: open_poller() makes a working one")


cdef class Poller:
    """What both pollers share: the array of what is ready."""

    def __dealloc__(self):
        free(self.ready)

    cdef int reserve(self, size_t count) except -1:
        """Ask for room; wait() makes it, because another one may be running in a thread."""
        if count > self.wanted:
            self.wanted = max(count, 2 * self.wanted)
        return 0

    cdef int make_room(self) except -1:
        if self.capacity < self.wanted:
            self.ready = <Ready *>grown(self.ready, self.wanted * sizeof(Ready))
            self.capacity = self.wanted
        return 0

    cdef int add(self, int fd, uint32_t interest, uint64_t data) except -1:
        return refuse(self)

    cdef int change(self, int fd, uint32_t interest, uint64_t data) except -1:
        return refuse(self)

    cdef int drop(self, int fd) except -1:
        return refuse(self)

    cdef int wait(self, int64_t timeout_ns) except -1:
        return refuse(self)

    cdef int arm(self, uint64_t when_ns) except -1:
        return refuse(self)

    cdef int wake(self) except -1:
        return refuse(self)

    cdef int descriptor(self) except -1:
        return refuse(self)

    cdef int close(self) except -1:
        return refuse(self)


@cython.final
cdef class Epoll(Poller):
    """An epoll set with a timerfd and an eventfd in it."""

    cdef int epoll                          # -1: closed, as the two below
    cdef int timer
    cdef int event
    cdef epoll_event *events                # as the kernel wrote them; room for `capacity`

    def __cinit__(self):
        self.timer = self.event = -1
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            PyErr_SetFromErrno(OSError)
        self.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if self.timer < 0:
            PyErr_SetFromErrno(OSError)
        self.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.event < 0:
            PyErr_SetFromErrno(OSError)
        self.reserve(FEWEST_EVENTS)
        self.add(self.timer, READABLE, TAG_TIMER)
        self.add(self.event, READABLE, TAG_WAKEUP)

    def __dealloc__(self):
        self.close_descriptors()
        free(self.events)

    cdef int make_room(self) except -1:
        if self.capacity < self.wanted:
            self.events = <epoll_event *>grown(self.events, self.wanted * sizeof(epoll_event))
        return Poller.make_room(self)

    cdef int control(self, int operation, int fd, uint32_t interest, uint64_t data) except -1:
        cdef epoll_event event
        event.events = to_epoll(interest)
        event.data.u64 = data
        if epoll_ctl(self.epoll, operation, fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cdef int add(self, int fd, uint32_t interest, uint64_t data) except -1:
        return self.control(EPOLL_CTL_ADD, fd, interest, data)

    cdef int change(self, int fd, uint32_t interest, uint64_t data) except -1:
        return self.control(EPOLL_CTL_MOD, fd, interest, data)

    cdef int drop(self, int fd) except -1:
        cdef epoll_event unused
        return epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, &unused) == 0

    cdef int wait(self, int64_t timeout_ns) except -1:
        cdef uint64_t data
        cdef int i
        cdef int kept = 0
        self.make_room()
        for i in range(self.fetch(timeout_ns)):
            data = self.events[i].data.u64
            if data <= TAG_WAKEUP:
                self.consume(data)
            else:
                self.ready[kept].data = data
                self.ready[kept].events = from_epoll(self.events[i].events)
                kept += 1
        return kept

    cdef int fetch(self, int64_t timeout_ns) except -1:
        """Run epoll_wait; after a signal its handler runs and the wait goes on (PEP 475)."""
        cdef int count
        cdef int error
        cdef int most = <int>self.capacity
        cdef int milliseconds = -1
        cdef int64_t until = 0
        if timeout_ns > 0:
            until = <int64_t>clock_ns() + timeout_ns
        while True:
            if timeout_ns >= 0:
                milliseconds = <int>min(
                    (timeout_ns + NS_PER_MS - 1) // NS_PER_MS, <int64_t>LONGEST_WAIT
                )
            if milliseconds == 0:  # cannot block: other threads need not be let in
                count = epoll_wait(self.epoll, self.events, most, 0)
                error = errno
            else:
                with nogil:
                    count = epoll_wait(self.epoll, self.events, most, milliseconds)
                    error = errno
            if count >= 0:
                return count
            if error != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
            if self.epoll < 0:  # closed by the handler
                return 0
            if timeout_ns > 0:
                timeout_ns = max(until - <int64_t>clock_ns(), <int64_t>0)

    cdef void consume(self, uint64_t data) noexcept:
        """Make the timer or the wake-up unreadable again, and remember that it came."""
        cdef uint64_t count
        if data == TAG_TIMER:
            read(self.timer, &count, sizeof(count))
            self.fired = True
        else:
            read(self.event, &count, sizeof(count))
            self.woken = True

    cdef int arm(self, uint64_t when_ns) except -1:
        cdef time_t seconds = <time_t>(when_ns // NS_PER_SECOND)
        if set_timer(self.timer, seconds, <long>(when_ns % NS_PER_SECOND)) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cdef int wake(self) except -1:
        cdef uint64_t one = 1
        # It can only fail when the counter is full, and then the loop has been woken.
        if self.event >= 0:
            write(self.event, &one, sizeof(one))
        return 0

    cdef int descriptor(self) except -1:
        return self.epoll

    cdef int close(self) except -1:
        self.close_descriptors()
        return 0

    cdef void close_descriptors(self) noexcept:
        if self.epoll >= 0:
            c_close(self.epoll)
        if self.timer >= 0:
            c_close(self.timer)
        if self.event >= 0:
            c_close(self.event)
        self.epoll = self.timer = self.event = -1


@cython.final
cdef class Polled(Poller):
    """The same over any selectors.BaseSelector; the data of a file object is the caller's word."""

    cdef object backend         # the selector
    cdef object receiver        # the loop's end of the wake-up's socket pair
    cdef object sender          # the end of those who wake it
    cdef uint64_t timer_ns      # when the timer expires; 0: it is not armed

    def __cinit__(self, factory):
        self.backend = factory()
        self.receiver, self.sender = socket.socketpair()
        self.receiver.setblocking(False)
        self.sender.setblocking(False)
        self.backend.register(self.receiver.fileno(), READABLE, TAG_WAKEUP)

    cdef int add(self, int fd, uint32_t interest, uint64_t data) except -1:
        interest &= READABLE | WRITABLE
        if interest:  # the standard library knows no file that waits for nothing
            self.backend.register(fd, interest, data)
        return 0

    cdef int change(self, int fd, uint32_t interest, uint64_t data) except -1:
        interest &= READABLE | WRITABLE
        if fd not in self.backend.get_map():
            return self.add(fd, interest, data)
        if interest:
            self.backend.modify(fd, interest, data)
        else:
            self.backend.unregister(fd)
        return 0

    cdef int drop(self, int fd) except -1:
        if fd in self.backend.get_map():
            self.backend.unregister(fd)
        return 1

    cdef int wait(self, int64_t timeout_ns) except -1:
        cdef int kept = 0
        cdef list found = self.backend.select(self.seconds(timeout_ns))
        self.reserve(<size_t>len(found))
        self.make_room()
        for key, events in found:
            if key.data == TAG_WAKEUP:
                self.consume()
            else:
                self.ready[kept].data = key.data
                self.ready[kept].events = events
                kept += 1
        if self.timer_ns and clock_ns() >= self.timer_ns:
            self.timer_ns = 0
            self.fired = True
        return kept

    cdef object seconds(self, int64_t timeout_ns):
        """The timeout for the backend: in seconds, and no later than the timer."""
        cdef int64_t left
        if self.timer_ns:
            left = max(<int64_t>self.timer_ns - <int64_t>clock_ns(), <int64_t>0)
            timeout_ns = left if timeout_ns < 0 else min(timeout_ns, left)
        return None if timeout_ns < 0 else min(timeout_ns / 1e9, LONGEST_POLL)

    cdef int consume(self) except -1:
        try:
            while len(self.receiver.recv(512)) == 512:
                pass
        except BlockingIOError:
            pass
        self.woken = True
        return 0

    cdef int arm(self, uint64_t when_ns) except -1:
        self.timer_ns = when_ns
        return 0

    cdef int wake(self) except -1:
        try:
            self.sender.send(b"\0")
        except BlockingIOError:  # full: the loop has been woken
            pass
        except OSError:
            if self.sender.fileno() >= 0:
                raise
        return 0

    cdef int descriptor(self) except -1:
        if not hasattr(self.backend, "fileno"):
            raise io.UnsupportedOperation(
                f"{type(self.backend).__name__} has no descriptor that another loop could wait for"
            )
        return self.backend.fileno()

    cdef int close(self) except -1:
        self.backend.close()
        self.receiver.close()
        self.sender.close()
        return 0
