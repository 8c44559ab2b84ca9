"""The loop: epoll, timers, deferred close. Knows no WebSocket."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from wsfast.files cimport FileRegistry
from wsfast.poller cimport EDGE, HANGUP, READABLE, WRITABLE, Poller
from wsfast.wheel cimport Timed, Wheel

# READABLE | WRITABLE: what a stream waits for, with the bits of selectors.EVENT_READ and
# EVENT_WRITE. HANGUP: both directions are shut or an error is pending; never asked for, reported
# by epoll also while the interest is 0, and again and again until the stream is removed.
# EDGE, with them: report only what is new; a stream that leaves something unread says ask_again.


cdef class Stream(Timed):
    """A descriptor with C-level callbacks, dispatched inside select(). Meant for subclassing."""

    cdef readonly int fd                 # its descriptor while registered, else -1
    cdef uint32_t interest               # READABLE | WRITABLE | EDGE as last asked for
    cdef bint flushing                   # on_turn_end is already queued for this turn
    cdef uint32_t added                  # private: the turn in which it was registered
    cdef EpollSelector selector          # the loop that holds it; None when not registered
    # inherited: uint64_t deadline         tick of the wheel at which it is due; 0: none
    # inherited: int on_deadline() except -1      the deadline passed; it is cleared

    cdef int on_ready(self, uint32_t events) except -1      # events: READABLE | WRITABLE | HANGUP
    cdef int on_turn_end(self) except -1                    # asked for by at_turn_end
    cdef void on_selector_closed(self, int fd) noexcept     # it is not registered any more


cdef class EpollSelector(FileRegistry):
    cdef readonly bint dispatching      # inside select(), streams are being called
    # inherited: bint closed            close() was called
    cdef readonly uint64_t now_ns       # clock_ns() after the last wait of select()
    cdef public object flush_soon       # a host's; called if flush() got something to do, or None
    cdef bint selecting                 # private: inside select(), which is not re-entrant
    cdef Wheel wheel                    # private: the deadlines
    cdef uint64_t armed                 # private: the tick that the timer is set to; 0: none
    cdef uint32_t turn                  # private: counts the waits of select()
    cdef list streams                   # private: by descriptor, None where there is no stream
    cdef set loose                      # private: streams without a descriptor
    cdef list turn_ends                 # private: streams that asked for on_turn_end
    cdef Py_ssize_t flushed             # private: how many of turn_ends were called
    cdef list removed                   # private: streams kept alive until the turn ends
    cdef list orphans                   # private: streams whose descriptor was closed too early
    cdef object calls                   # private: deque of (callback, args) of other threads
    cdef object __weakref__

    # Registers. fd < 0: a stream without descriptor, for deadlines and turn ends only. A stream
    # must be removed before its descriptor is closed.
    cdef int add_stream(self, Stream stream, int fd, uint32_t interest) except -1
    # No system call if it is unchanged.
    cdef int set_interest(self, Stream stream, uint32_t interest) except -1
    # For a stream with EDGE that left something unread: report it again if it is still so.
    cdef int ask_again(self, Stream stream) except -1
    # Leaves epoll and the wheel now, and will not be called again; lives until the turn ends;
    # does not close fd; nothing happens if it is not registered.
    cdef int remove_stream(self, Stream stream) except -1
    # From now, rounded up to a tick of 1/16 s; replaces an earlier one; O(1).
    cdef int set_deadline(self, Stream stream, double seconds) except -1
    cdef int clear_deadline(self, Stream stream) except -1  # O(1)
    # Call stream.on_turn_end() once, after this batch of events; outside of select(): at the
    # start of the next one (which then does not block), or by flush(). Not called if the stream
    # was removed by then.
    cdef int at_turn_end(self, Stream stream) except -1

    # select(timeout), for the longest wait in nanoseconds; -1: for ever.
    cdef list serve(self, int64_t timeout_ns)

    # private
    cdef int detach(self, Stream stream) except -1
    cdef int check_held(self, Stream stream) except -1
    cdef int schedule(self, uint64_t tick) except -1
    cdef int run_deadlines(self) except -1
    cdef int run_turn(self, int count) except -1
    cdef int dispatch(self, Poller poller, int count) except -1
    cdef int end_turn(self) except -1
    cdef int release(self) except -1
    cdef int drain(self) except -1
    cdef int run_calls(self) except -1
