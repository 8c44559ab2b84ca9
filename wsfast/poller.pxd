"""How the kernel reports readiness: epoll, or a selector of the standard library."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    READABLE = 1        # the bits of selectors.EVENT_READ
    WRITABLE = 2        # and of selectors.EVENT_WRITE
    HANGUP = 4          # both directions are shut, or an error is pending (epoll only);
                        # with EDGE also: the peer shut its own direction
    EDGE = 8            # report only what is new since the last report, or since add() or
                        # change(); a poller without epoll goes on reporting what is still so

cdef enum:
    TAG_BITS = 3        # zero in the data of a stream: it is a pointer
    TAG_TIMER = 2       # data of the timer; consumed by wait()
    TAG_WAKEUP = 6      # data of the wake-up; consumed by wait()


cdef struct Ready:
    uint64_t data       # as given to add()
    uint32_t events     # READABLE | WRITABLE | HANGUP


cdef class Poller:
    """Readiness of descriptors (level-triggered, or EDGE), one timer, a wake-up for any thread."""

    cdef Ready *ready           # what the last wait() found
    cdef size_t capacity        # the most that one wait() fetches
    cdef size_t wanted          # private: what reserve() asked for
    cdef bint fired             # the timer expired; cleared by the caller
    cdef bint woken             # wake() was called; cleared by the caller

    # Wait for READABLE | WRITABLE, or 0 for neither, and report it with `data`; EDGE: see there.
    cdef int add(self, int fd, uint32_t interest, uint64_t data) except -1
    # The same for a descriptor that was added before.
    cdef int change(self, int fd, uint32_t interest, uint64_t data) except -1
    cdef int drop(self, int fd) except -1                   # 1, or 0 if the kernel knew no such fd
    cdef int wait(self, int64_t timeout_ns) except -1       # < 0: for ever; how many are ready
    cdef int arm(self, uint64_t when_ns) except -1          # one shot, on the clock of clock_ns()
    cdef int wake(self) except -1                           # makes wait() return; thread-safe
    cdef int descriptor(self) except -1                     # is readable when wait() has news
    cdef int close(self) except -1                          # idempotent
    cdef int reserve(self, size_t count) except -1          # let one wait() fetch so many
    cdef int make_room(self) except -1                      # private: `wanted` becomes `capacity`


cdef uint64_t clock_ns() noexcept nogil     # CLOCK_MONOTONIC
cdef Poller open_poller(object backend)     # backend: makes a selectors.BaseSelector; None: epoll
