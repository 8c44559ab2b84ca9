# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
"""How many TLS handshakes are continued in one turn of the loop.

A step of a handshake costs as much as some hundred messages (a signature, a key agreement), so a
storm of new connections would stop those that are open. Each turn of the loop takes a number of
steps; whoever comes later waits, without being read from, in the order of arrival. Those that wait
are continued in the next turns, which do not sleep: what is ready by then is served in between.

Each of them has the deadline of its opening all the time, which waiting does not move.
"""

cimport cython

from wsfast.selector cimport READABLE, EpollSelector, Stream
from wsfast.tls cimport TlsSession

from collections import deque

__all__ = ["TlsBudget"]


@cython.final
cdef class TlsBudget:
    """Shares the turns of a selector out among handshakes.

    Args:
        selector: the `EpollSelector` whose turns count.
        per_turn: steps of handshakes that one turn may take, 1 or more.

    Raises:
        ValueError: `per_turn` is not in 1..2**31-1.
    """

    def __init__(self, EpollSelector selector not None, per_turn=16):
        if not 0 < per_turn < 1 << 31:
            raise ValueError(f"handshakes_per_turn is {per_turn}, not in 1..2**31-1")
        self.selector = selector
        self.per_turn = self.left = per_turn
        self.waiting = deque()

    @property
    def steps_per_turn(self):
        """Steps of handshakes that one turn may take."""
        return self.per_turn

    @property
    def waiting_handshakes(self):
        """How many handshakes wait for a later turn."""
        return len(self.waiting)

    cdef int begin_turn(self) except -1:
        if self.turn != self.selector.turn:
            self.turn = self.selector.turn
            self.left = self.per_turn
        return 0

    cdef bint take(self, Stream stream, TlsSession session) except -1:
        self.begin_turn()
        if session.waiting:  # it has its place in the row, whatever comes in the meantime
            return False
        if self.left and (self.resuming or not self.waiting):
            self.left -= 1
            return True
        session.waiting = True
        self.waiting.append((stream, session))
        self.call_later()
        return False

    cdef int call_later(self) except -1:
        """Have `resume` called in the next turn, which then does not sleep."""
        if not self.called:
            self.called = True
            self.selector.call_threadsafe(self.resume)
        return 0

    def resume(self):
        """Continue those that wait, as far as the turn allows; the loop calls it."""
        cdef Stream stream
        cdef TlsSession session
        cdef Py_ssize_t count = len(self.waiting)
        self.called = False
        self.resuming = True
        self.begin_turn()
        try:
            while count and self.left:
                count -= 1
                stream, session = self.waiting.popleft()
                session.waiting = False
                if stream.selector is self.selector:
                    stream.on_ready(READABLE)
        finally:
            self.resuming = False
            if self.waiting:
                self.call_later()
