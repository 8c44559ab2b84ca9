# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (one thread runs a loop; stop() alone may come from others)
"""What all endpoints of one selector share, and the run loop over it.

One buffer takes what is received from any socket, for one turn: an idle connection owns no buffer
at all. What an endpoint sends during its own turn is gathered in the cork and leaves in one
system call when the turn ends.
"""

cimport cython

from wsfast.tlsbudget cimport TlsBudget

__all__ = ["Loop"]


@cython.final
cdef class Loop:
    """A selector with the buffers that its endpoints share.

    Args:
        selector: an `EpollSelector`, or None to make one. Hosted elsewhere (as asyncio's own
            selector, or polled by its descriptor), `run` is not needed.
        handshakes_per_turn: steps of TLS handshakes that one turn may take, so that a storm of
            new connections does not stop those that are open.

    Raises:
        ValueError: `handshakes_per_turn` is not in 1..2**31-1.
    """

    def __init__(self, EpollSelector selector=None, *, handshakes_per_turn=16):
        self.selector = EpollSelector() if selector is None else selector
        self.handshakes = TlsBudget(self.selector, handshakes_per_turn)
        self.cork = Buffer()

    @property
    def waiting_handshakes(self):
        """How many TLS handshakes wait for a later turn."""
        return self.handshakes.waiting_handshakes

    cdef Buffer receive_buffer(self):
        if self.incoming is None or self.incoming.exports:
            self.incoming = Buffer()
            self.incoming.reserve(RECEIVE_BYTES)
        return self.incoming

    def run(self):
        """Dispatch until `stop` is called. Exceptions out of the selector come through."""
        try:
            while not self.stopping:
                self.selector.select()
        finally:
            self.stopping = False

    def run_while(self, condition, seconds):
        """Dispatch while condition() is true, for at most so many seconds; returns its value."""
        expired = []
        timer = self.selector.call_later(seconds, expired.append, True)
        try:
            while condition() and not expired:
                self.selector.select()
        finally:
            timer.cancel()
        return condition()

    def stop(self):
        """End `run` after the turn under way; one that has not begun ends at once.

        Callable from any thread, from handlers and from signal handlers.
        """
        self.stopping = True
        self.selector.wakeup()

    def close(self):
        """Close the selector; every endpoint must be closed before."""
        self.selector.close()
