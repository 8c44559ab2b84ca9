# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# cython: cdivision=True
# (indices are checked by hand, none is negative; divisors are constants)
"""The loop: epoll, timers, deferred close. Knows no WebSocket.

One `select()` is one *turn*: wait, call the streams that are ready, call `on_turn_end` of those
that asked for it, then what is due (deadlines, calls from other threads), then `on_turn_end`
again, then let go of what was removed. Plain file objects are returned, as the standard library
says, for whoever called `select()`: an application, or asyncio.

What keeps this safe while callbacks register, remove and close whatever they like:

- The kernel hands out a batch, and a callback may make the rest of it out of date. For a stream
  the word that the kernel keeps is the address of the object, so a removed stream is kept alive
  until the turn ends, and is passed over. One that was registered during this turn is passed
  over as well: the event is older than its registration. For a file the word is its descriptor
  and a generation, so that a descriptor that was reused is not taken for the old file.
- What a turn leaves out, be it because a callback raised, is reported again by the next one:
  by itself where readiness is level-triggered, and with EDGE because the selector asks again.
- A callback that raises ends the turn, and the exception leaves `select()`. What had not been
  called by then (turn ends, deadlines, calls) makes the next `select()` return at once.

A stream must be removed before its descriptor is closed. If it is not, and another process holds
a copy of the descriptor, the kernel goes on reporting it and nobody can stop that; the stream is
then kept for as long as the selector lives, so that the event still finds it.

A selector belongs to one thread; only `wakeup` and `call_threadsafe` may be called from others
(and from signal handlers). After a fork the child must make a selector of its own: the two
processes share one epoll set.
"""

cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.math cimport ceil
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

from wsfast.files cimport FileRegistry
from wsfast.poller cimport EDGE, READABLE, TAG_BITS, WRITABLE, Poller, clock_ns, open_poller
from wsfast.wheel cimport FETCHED_BYTES, TICK_NS, Timed, Wheel, ws_prefetch

from abc import ABCMeta
from collections import deque
from selectors import BaseSelector

__all__ = ["EpollSelector", "Stream", "Timer"]

cdef enum:
    DRAIN_ROUNDS = 16       # how often turn ends may ask for turn ends within one turn
    AHEAD = 2               # so far before its turn the memory of a stream is fetched

cdef double LONGEST_SECONDS = 1e9       # timeouts and deadlines beyond this (31 years) are cut


cdef int64_t to_nanoseconds(object timeout) except -2:
    """A timeout of select(): None waits for ever, zero or less does not wait."""
    cdef double seconds
    if timeout is None:
        return -1
    seconds = timeout
    if seconds != seconds:
        raise ValueError("the timeout is not a number")
    return <int64_t>ceil(min(seconds, LONGEST_SECONDS) * 1e9) if seconds > 0 else 0


cdef class Stream(Timed):
    """A descriptor with C-level callbacks. Python sees `fd`; subclasses are written in Cython."""

    def __cinit__(self):
        self.fd = -1

    cdef int on_ready(self, uint32_t events) except -1:
        return 0

    cdef int on_turn_end(self) except -1:
        return 0

    cdef void on_selector_closed(self, int fd) noexcept:
        pass


@cython.final
cdef class Timer(Stream):
    """What `EpollSelector.call_later` returns: a call that has not happened yet."""

    cdef object callback
    cdef tuple args

    @property
    def active(self):
        """Whether the call is still to come."""
        return self.selector is not None

    def cancel(self):
        """Do not make the call; nothing happens if it was made or cancelled before."""
        if self.selector is not None:
            self.selector.remove_stream(self)
        self.callback = self.args = None

    cdef int on_deadline(self) except -1:
        callback, args = self.callback, self.args
        self.cancel()
        callback(*args)
        return 0


@cython.final
cdef class EpollSelector(FileRegistry):
    """A selectors.BaseSelector over epoll that also calls streams, deadlines and other threads.

    Args:
        backend: makes a selectors.BaseSelector to work over instead of epoll, e.g.
            `selectors.PollSelector`. Without one: epoll, and `selectors.DefaultSelector` where
            there is no epoll.

    Raises:
        OSError: no descriptors are left.
    """

    def __cinit__(self, *, backend=None):
        self.poller = open_poller(backend)
        self.wheel = Wheel()
        self.streams = []
        self.loose = set()
        self.turn_ends = []
        self.removed = []
        self.orphans = []
        self.calls = deque()
        self.now_ns = clock_ns()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    # Streams

    cdef int add_stream(self, Stream stream, int fd, uint32_t interest) except -1:
        self.check_open()
        if stream.selector is not None:
            raise ValueError(f"{stream!r} is registered already (descriptor {stream.fd})")
        if interest & ~<uint32_t>(READABLE | WRITABLE | EDGE):
            raise ValueError(f"invalid interest: {interest}")
        if fd < 0:
            self.loose.add(stream)
        else:
            self.check_free(stream, fd)
            while PyList_GET_SIZE(self.streams) <= fd:
                self.streams.append(None)
            self.poller.add(fd, interest, <uint64_t><uintptr_t><void *>stream)
            self.streams[fd] = stream
        stream.fd = fd if fd >= 0 else <int>-1
        stream.interest = interest
        stream.added = self.turn
        stream.selector = self
        return 0

    cdef int check_free(self, object owner, int fd) except -1:
        """A descriptor has one owner: two registrations of it would remove each other."""
        FileRegistry.check_free(self, owner, fd)
        if fd < PyList_GET_SIZE(self.streams) and self.streams[fd] is not None:
            raise KeyError(
                f"{owner!r} (FD {fd}) is already registered, as {self.streams[fd]!r}: a stream "
                "must be removed before its descriptor is closed"
            )
        return 0

    cdef int set_interest(self, Stream stream, uint32_t interest) except -1:
        if stream.interest == interest:
            return 0
        self.check_held(stream)
        if interest & ~<uint32_t>(READABLE | WRITABLE | EDGE):
            raise ValueError(f"invalid interest: {interest}")
        if stream.fd >= 0:
            self.poller.change(stream.fd, interest, <uint64_t><uintptr_t><void *>stream)
        stream.interest = interest
        return 0

    cdef int ask_again(self, Stream stream) except -1:
        self.check_held(stream)
        if stream.interest & EDGE and stream.fd >= 0:
            self.poller.change(stream.fd, stream.interest, <uint64_t><uintptr_t><void *>stream)
        return 0

    cdef int remove_stream(self, Stream stream) except -1:
        cdef int fd = stream.fd
        if stream.selector is not self:
            return 0
        self.wheel.remove(stream)
        self.detach(stream)
        if fd < 0:
            self.loose.discard(stream)
            return 0
        self.streams[fd] = None
        if not self.poller.drop(fd):
            self.orphans.append(stream)  # closed too early: the kernel may still report it
        return 0

    cdef int detach(self, Stream stream) except -1:
        """Make a stream one that is not registered, and keep it until the turn ends."""
        stream.fd = -1
        stream.interest = 0
        stream.selector = None
        if self.selecting:
            self.removed.append(stream)
        return 0

    cdef int check_held(self, Stream stream) except -1:
        if stream.selector is not self:
            raise ValueError(f"{stream!r} is not registered with this selector")
        return 0

    # Deadlines

    cdef int set_deadline(self, Stream stream, double seconds) except -1:
        cdef uint64_t due
        self.check_held(stream)
        if seconds != seconds:
            raise ValueError("the deadline is not a number")
        # A fresh clock: now_ns is older than the call, and would let a deadline come early.
        due = clock_ns() + <uint64_t>(max(0.0, min(seconds, LONGEST_SECONDS)) * 1e9)
        self.wheel.insert(stream, (due + TICK_NS - 1) // TICK_NS)
        return self.schedule(stream.deadline)

    cdef int clear_deadline(self, Stream stream) except -1:
        # The timer stays as it is. It may go off once for nothing, which costs less than to
        # move it with every deadline that comes and goes.
        self.wheel.remove(stream)
        return 0

    cdef int schedule(self, uint64_t tick) except -1:
        """See to it that the timer goes off at `tick` or before."""
        if self.armed and self.armed <= tick:
            return 0
        self.armed = tick
        return self.poller.arm(tick * TICK_NS)

    cdef int run_deadlines(self) except -1:
        cdef Timed timed
        self.poller.fired = False
        self.armed = 1  # no deadline set by a callback moves the timer: it is set at the end
        try:
            self.wheel.collect(self.now_ns // TICK_NS)
            timed = self.wheel.pop()
            while timed is not None:
                timed.on_deadline()
                timed = self.wheel.pop()
        finally:
            self.armed = 0
            if not self.closed and self.wheel.next_tick():
                self.schedule(self.wheel.next_tick())
        return 0

    def call_later(self, double seconds, callback, *args):
        """Call `callback(*args)` inside select(), `seconds` from now.

        It comes at the next tick of the wheel (1/16 s) and never early; calls due at the same
        tick come in the order in which they were asked for.

        Returns:
            A Timer, whose cancel() prevents the call.

        Raises:
            ValueError: `seconds` is not a number, or the selector is closed.
        """
        cdef Timer timer = Timer.__new__(Timer)
        timer.callback = callback
        timer.args = args
        self.add_stream(timer, -1, 0)
        try:
            self.set_deadline(timer, seconds)
        except ValueError:
            timer.cancel()
            raise
        return timer

    # The turn

    def select(self, timeout=None):
        """Wait for events, call the streams that are ready, return what concerns plain files.

        Args:
            timeout: the longest wait in seconds; zero or less does not wait, None for ever. A
                signal whose handler does not raise does not end the wait, but `wakeup()` does.

        Returns:
            A list of (SelectorKey, events) of the file objects that are ready. It is empty after
            the timeout, and also when only streams, deadlines or calls were served.

        Raises:
            ValueError: the selector is closed, or `timeout` is not a number.
            RuntimeError: called from inside one of its own callbacks.
            Exception: whatever a callback raised.
        """
        return self.serve(to_nanoseconds(timeout))

    cdef list serve(self, int64_t timeout_ns):
        cdef int count
        self.check_open()
        if self.selecting or self.dispatching:
            raise RuntimeError("select() was called while the selector is at work")
        if PyList_GET_SIZE(self.turn_ends):
            self.flush()
            timeout_ns = 0  # what was called may have given the host something to do
            if self.closed:
                return []
        self.selecting = True
        try:
            count = self.poller.wait(timeout_ns)
            self.run_turn(count)
        finally:
            self.selecting = False
            self.release()
        return self.ready_files(self.poller, count)

    cdef int run_turn(self, int count) except -1:
        cdef Poller poller = self.poller
        self.now_ns = clock_ns()
        self.turn += 1
        if not count and not poller.fired and not poller.woken:
            return 0
        self.dispatching = True
        try:
            self.dispatch(poller, count)
            self.drain()
            if poller.fired:
                self.run_deadlines()
            if poller.woken:
                self.run_calls()
        finally:
            self.end_turn()
        return 0

    cdef int dispatch(self, Poller poller, int count) except -1:
        """Call the streams of a batch: no Python object is made here."""
        cdef Stream stream
        cdef int i
        cdef int next = 0
        try:
            while next < count:
                if next + AHEAD < count and not poller.ready[next + AHEAD].data & TAG_BITS:
                    ws_prefetch(
                        <void *><uintptr_t>poller.ready[next + AHEAD].data, FETCHED_BYTES
                    )
                if not poller.ready[next].data & TAG_BITS:
                    stream = <Stream><void *><uintptr_t>poller.ready[next].data
                    if stream.selector is self:
                        if stream.added != self.turn:
                            stream.on_ready(poller.ready[next].events)
                        else:  # or 2**32 turns ago: then it is an edge that nobody tells again
                            self.ask_again(stream)
                next += 1
        finally:
            # A callback raised: epoll reports an edge only once, to the one that raised as well.
            for i in range(next, count):
                if not poller.ready[i].data & TAG_BITS:
                    stream = <Stream><void *><uintptr_t>poller.ready[i].data
                    if stream.selector is self:
                        self.ask_again(stream)
        return 0

    cdef int end_turn(self) except -1:
        """Drain once more; what is left over, because a callback raised, starts another turn."""
        try:
            self.drain()
        finally:
            self.dispatching = False
            if self.poller.fired or self.poller.woken or PyList_GET_SIZE(self.turn_ends):
                self.poller.wake()
        return 0

    cdef int release(self) except -1:
        """Let go of what was removed; the last of its references may run anything."""
        cdef list removed = self.removed
        if PyList_GET_SIZE(removed):
            self.removed = []
        return 0

    # Turn ends

    cdef int at_turn_end(self, Stream stream) except -1:
        if not stream.flushing:
            stream.flushing = True
            self.turn_ends.append(stream)
            if self.flush_soon is not None and not self.dispatching:
                self.flush_soon()
        return 0

    cdef int drain(self) except -1:
        """Call on_turn_end of those that asked, also while it is being called."""
        cdef Stream stream
        cdef Py_ssize_t end
        cdef int rounds = 0
        if not PyList_GET_SIZE(self.turn_ends):
            return 0
        try:
            while rounds < DRAIN_ROUNDS and self.flushed < PyList_GET_SIZE(self.turn_ends):
                rounds += 1
                end = PyList_GET_SIZE(self.turn_ends)
                while self.flushed < min(end, PyList_GET_SIZE(self.turn_ends)):
                    stream = <Stream>PyList_GET_ITEM(self.turn_ends, self.flushed)
                    self.flushed += 1
                    stream.flushing = False
                    if stream.selector is self:
                        stream.on_turn_end()
        finally:
            if self.flushed:
                del self.turn_ends[: self.flushed]
                self.flushed = 0
        return 0

    def flush(self):
        """Run the turn ends now: for a host that used streams outside of select().

        As asyncio's own selector there is no need to, the next select() begins with it. A guest
        in another loop calls it after what it sent, or the bytes stay until the next event.

        Raises:
            Exception: whatever an on_turn_end raised; the others are called by the next turn.
        """
        if self.dispatching:
            self.drain()
        elif PyList_GET_SIZE(self.turn_ends):
            self.dispatching = True
            self.end_turn()

    # Other threads

    def wakeup(self):
        """Make select() return, now or, if it is not waiting, the next time. Thread-safe."""
        if not self.closed:
            self.poller.wake()

    def call_threadsafe(self, callback, *args):
        """Call `callback(*args)` inside the next turn of select(). Thread-safe.

        Raises:
            RuntimeError: the selector is closed.
        """
        if self.closed:
            raise RuntimeError("Selector is closed")
        self.calls.append((callback, args))
        self.poller.wake()

    cdef int run_calls(self) except -1:
        self.poller.woken = False
        try:
            for _ in range(len(self.calls)):
                if self.calls:  # one of them may have closed the selector
                    callback, args = self.calls.popleft()
                    callback(*args)
        finally:
            if self.calls:
                self.poller.woken = True
        return 0

    # The rest of selectors.BaseSelector

    def fileno(self):
        """Return a descriptor that is readable whenever select(0) has something to do.

        Raises:
            ValueError: the selector is closed.
            io.UnsupportedOperation: the backend has none.
        """
        self.check_open()
        return self.poller.descriptor()

    def close(self):
        """Close the selector and forget everything that it holds; idempotent.

        The descriptors of files stay open, as they are their owners'; those of streams too, but
        for a stream that owns its own, as an endpoint does: nobody could close it any more.
        """
        cdef Stream stream
        cdef int fd
        if self.closed:
            return
        self.closed = True
        self.wheel.clear()
        for stream in [*self.loose, *self.streams]:
            if stream is not None:
                fd = stream.fd
                self.detach(stream)
                stream.on_selector_closed(fd)
        for stream in self.turn_ends:
            stream.flushing = False
        self.loose.clear()
        self.streams.clear()
        self.turn_ends.clear()
        self.flushed = 0
        self.files.clear()
        self.calls.clear()
        self.poller.close()


# Not BaseSelector.register(): that name is the method for file objects.
ABCMeta.register(BaseSelector, EpollSelector)
