# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (it belongs to the thread of its loop, as all of an endpoint)
"""What a connection was opened with, for as long as it lives: bytes, no objects.

A request as Python objects is several times as large as the bytes that it came in, and few look
at it after on_open. So it is an object until on_open returns, and a record (wsfast.record) from
then on, which is read again by whoever asks.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc

from wsfast.poller cimport clock_ns
from wsfast.selector cimport EDGE, WRITABLE

from wsfast.head import Request
from wsfast.record import keep_request, recall_request
from wsfast.traffic import Traffic

__all__ = ["Opened"]

#: Who may ask for reading to stop: one bit each, so that nobody ends what another one asked for.
cdef dict HALTS = {"application": 1, "handler": 2, "credential": 4, "upgrade": 8}


cdef uint8_t halt_of(object by) except 0:
    found = HALTS.get(by)
    if found is None:
        raise ValueError(f"by is {by!r}, not one of {[*HALTS]}")
    return found


cdef class Opened(Transport):
    """A transport that knows how it was opened."""

    @property
    def request(self):
        """What opened it.

        On a server the `Request`, as long as the connection object lives, None before it is open.
        After on_open each look reads it anew from its bytes, which takes some microseconds: keep
        in `state` what is needed again and again. On a client the `Accepted`, in on_open only, as
        on a server with `keep_request=False`.
        """
        if type(self.opened_by) is not bytes:
            return self.opened_by
        request = recall_request(self.opened_by)
        request.path_params = self.path_params
        request.tls = self.session
        return request

    @property
    def path_params(self):
        """The parameters of the route's path by name; empty if it has none."""
        cdef tuple flat = self.parameters
        if flat is None:
            return {}
        return {flat[at]: flat[at + 1] for at in range(0, len(flat), 2)}

    @property
    def traffic(self):
        """What went over it since it was opened, a `Traffic`; None without `count_traffic`."""
        cdef Tally *tally = self.tally
        if tally == NULL:
            return None
        ended_by = None
        if tally.ended:
            ended_by = "us" if tally.ended_by_us else "peer"
        return Traffic(
            ((tally.closed or clock_ns()) - tally.opened) / 1e9,
            tally.messages_received,
            tally.messages_sent,
            tally.bytes_received,
            max(tally.bytes_sent, 0),
            ended_by,
        )

    def pause_reading(self, *, by="application"):
        """Read nothing from the peer until `resume_reading`.

        What was read already is still delivered. The peer's messages wait in the buffers of the
        kernels; so do its pongs, its Close and its end, which nobody sees meanwhile. Whether it is
        still there is then asked of TCP, at each heartbeat.

        Args:
            by: who asks: "application", or of wsfast itself "handler" (messages wait in line for a
                coroutine), "credential" (they wait for `verify`) or "upgrade" (for on_upgrade).
                Each has to resume what it paused: reading goes on when all of them have, and
                what is queued for the peer is not above the high-water mark.

        Raises:
            ValueError: `by` is none of these.
        """
        self.halt_or_read(self.halts | halt_of(by))

    def resume_reading(self, *, by="application"):
        """Read on after `pause_reading`, unless there is another reason not to.

        Args:
            by: as it was given there.

        Raises:
            ValueError: `by` is none of those.
        """
        self.halt_or_read(self.halts & ~halt_of(by))

    cdef int halt_or_read(self, uint8_t halts) except -1:
        self.halts = halts
        # Before TCP stands it waits for that, and looks at `halts` afterwards.
        if self.interest & (EDGE | WRITABLE) != EDGE | WRITABLE or self.blocked:
            return self.update_interest()
        return 0

    cdef int begin_tally(self, size_t trailing) except -1:
        cdef size_t unsent = self.loop.cork.end if self.loop.turn is self else 0
        if not self.settings.count_traffic:
            return 0
        self.tally = <Tally *>calloc(1, sizeof(Tally))
        if self.tally == NULL:
            raise MemoryError
        if self.queue is not None:
            unsent += self.queue.end - self.queue.start
        self.tally.opened = clock_ns()
        self.tally.bytes_received = trailing
        self.tally.bytes_sent = -<int64_t>unsent
        return 0

    cdef int remember(self, object request, object subprotocol) except -1:
        self.opened_by = request
        self.subprotocol = subprotocol
        if isinstance(request, Request) and request.path_params:
            self.parameters = tuple(
                [each for pair in request.path_params.items() for each in pair]
            )
        return 0

    cdef int condense(self) except -1:
        if type(self.opened_by) is not bytes:
            request, self.opened_by = self.opened_by, None
            if self.settings.keep_request and isinstance(request, Request) and request.raw:
                self.opened_by = keep_request(request)
        return 0

    cdef int change_settings(self, Settings settings) except -1:
        if settings.endpoints is not self.settings.endpoints:
            raise ValueError("these settings belong to another server")
        self.settings = settings
        return 0
