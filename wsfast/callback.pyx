# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (nothing is indexed here)
"""A stream whose callbacks are Python functions.

A file object that is registered with `register` comes back from `select()`, to whoever runs the
loop; if that is asyncio, it takes every one of them for its own. A `CallbackStream` is served
inside `select()` like an endpoint, whoever runs the loop, at the price of one Python call.
"""

cimport cython
from libc.stdint cimport uint32_t

from wsfast.selector cimport EDGE as _EDGE
from wsfast.selector cimport EpollSelector, Stream

__all__ = ["EDGE", "CallbackStream"]

#: Beside EVENT_READ and EVENT_WRITE: edge-triggered.
EDGE = _EDGE


@cython.final
cdef class CallbackStream(Stream):
    """A descriptor, or only a deadline, whose events call Python functions inside select().

    What a callback raises leaves `select()`. The descriptor stays its owner's: `remove` first,
    then close it.

    Args:
        selector: the EpollSelector that it is registered with.
        fd: the descriptor; -1 for a stream that has only deadlines and turn ends.
        events: EVENT_READ, EVENT_WRITE, both, or 0 to wait for neither; with `EDGE`: report only
            what is new (epoll only; elsewhere what is still so is reported again and again).
        on_ready: called with the events: EVENT_READ | EVENT_WRITE | 4, where 4 is a hang-up or
            an error. epoll reports that whatever was asked for, until the stream is removed.
        on_deadline: called without arguments after the deadline passed.
        on_turn_end: called without arguments at the end of a turn, if `at_turn_end` asked for it.

    Raises:
        KeyError: the descriptor is already registered.
        ValueError: `events` is invalid, or the selector is closed.
        OSError: the kernel refuses the descriptor.
    """

    def __init__(
        self,
        EpollSelector selector not None,
        int fd,
        uint32_t events=0,
        on_ready=None,
        *,
        on_deadline=None,
        on_turn_end=None,
    ):
        self.ready = on_ready
        self.due = on_deadline
        self.turn_end = on_turn_end
        selector.add_stream(self, fd, events)
        self.home = selector

    def set_events(self, uint32_t events):
        """Wait for other events.

        Raises:
            ValueError: `events` is invalid, or the stream was removed.
        """
        self.home.set_interest(self, events)

    def ask_again(self):
        """With EDGE: the callback left something unread; report it again if it is still so.

        Raises:
            ValueError: the stream was removed.
        """
        self.home.ask_again(self)

    def set_deadline(self, double seconds):
        """Call `on_deadline` once, `seconds` from now or up to 1/16 s later.

        An earlier deadline is replaced.

        Raises:
            ValueError: `seconds` is not a number, or the stream was removed.
        """
        self.home.set_deadline(self, seconds)

    def clear_deadline(self):
        """Take the deadline away, if there is one."""
        self.home.clear_deadline(self)

    def at_turn_end(self):
        """Call `on_turn_end` once, at the end of this turn (outside of select(): of the next)."""
        self.home.at_turn_end(self)

    def remove(self):
        """Leave the selector: nothing is called any more. Idempotent."""
        self.home.remove_stream(self)

    cdef int on_ready(self, uint32_t events) except -1:
        if self.ready is not None:
            self.ready(events)
        return 0

    cdef int on_deadline(self) except -1:
        if self.due is not None:
            self.due()
        return 0

    cdef int on_turn_end(self) except -1:
        if self.turn_end is not None:
            self.turn_end()
        return 0
