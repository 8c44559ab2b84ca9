# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
"""What all endpoints of one server, or of one client, share."""

cimport cython

from wsfast.backlog import POLICIES
from wsfast.limits import Limits
from wsfast.rfc6455 import Role

__all__ = ["Settings"]

cdef object DEFAULTS = Limits()


@cython.final
cdef class Settings:
    """What all endpoints of one server, or of one client, share.

    Args:
        loop: the `Loop` that they live on.
        role: `Role.SERVER` or `Role.CLIENT`.
        handler: any object; of its methods on_open(ws), on_message(ws, message),
            on_close(ws, close_code, close_reason), on_ping(ws, payload), on_pong(ws, payload),
            on_drain(ws) and on_connect_failed(ws, error) those that it has are called. Pongs that
            answer our own heartbeats do not come to on_pong.
        opener: called without arguments for each connection; returns its opening handshake, an
            object with start(endpoint), receive(endpoint, data) and receive_eof(endpoint).
            What receive returns, if it is not None, is the begin of another request.
        limits: `Limits`. A client never stops reading at the high-water mark: two ends that both
            did would wait for each other.
        views: hand binary messages on as memoryview of the receive buffer; such a view stays
            valid for as long as it is kept.
        slow_consumer: what happens when a peer reads so slowly that more than max_queue_bytes
            wait for it: "wait" (the next send aborts the connection), "close" (it closes it with
            1013), "drop-oldest" (the oldest whole messages are dropped), "newest-per-key" (of the
            messages sent with a key only the newest of each waits; if that is still too much,
            1013).
        make_session: called without arguments for each connection; returns its `TlsSession`. None
            for plain TCP.
        preface: in front of TLS something comes in clear, a PROXY header: the opening's
            receive_preface(endpoint, data) gets it, cut anywhere, and returns what follows it, or
            None while more of it is needed. Without TLS it means nothing.
        keep_request: False forgets `ws.request` when on_open returns, and saves its bytes for each
            connection. Without any method to look at it, it is forgotten as well.
        count_traffic: count for each connection what goes over it, for `ws.traffic`; it takes 56
            bytes more then.
        endpoints: the set to keep them in: one for all settings of a server.
    """

    def __init__(
        self,
        Loop loop not None,
        role,
        handler,
        opener,
        *,
        limits=DEFAULTS,
        views=False,
        slow_consumer="wait",
        make_session=None,
        preface=False,
        keep_request=True,
        count_traffic=False,
        endpoints=None,
    ):
        if not isinstance(limits, Limits):
            raise TypeError(f"limits is {limits!r}, not a Limits")
        if slow_consumer not in POLICIES:
            raise ValueError(f"slow_consumer is {slow_consumer!r}, not one of {[*POLICIES]}")
        self.loop = loop
        self.role = Role(role)
        self.opener = opener
        self.limits = limits
        self.make_session = make_session
        self.preface = preface
        self.views = views
        self.count_traffic = count_traffic
        self.high_water_bytes = limits.high_water_bytes
        self.low_water_bytes = limits.low_water_bytes
        self.max_queue_bytes = limits.max_queue_bytes
        self.max_buffered_bytes = limits.max_buffered_bytes or 0
        self.slow_consumer = POLICIES[slow_consumer]
        self.opening_seconds = limits.opening_seconds
        self.keep_alive_seconds = limits.keep_alive_seconds or 0.0
        self.closing_seconds = limits.closing_seconds
        self.timetable = Timetable(limits)
        self.rates = RateLimits.of(limits)
        self.endpoints = set() if endpoints is None else endpoints
        self.take_methods(handler)
        self.keep_request = keep_request and (
            self.message_callback is not None
            or self.close_callback is not None
            or self.ping_callback is not None
            or self.pong_callback is not None
            or self.drain_callback is not None
            or self.open_callback is not None
        )

    @property
    def stats(self):
        """What happened so far, as a new dict of ints by name: accepted, opened, bytes_sent ..."""
        return self.counters

    cdef int take_methods(self, handler) except -1:
        self.open_callback = getattr(handler, "on_open", None)
        self.message_callback = getattr(handler, "on_message", None)
        self.close_callback = getattr(handler, "on_close", None)
        self.ping_callback = getattr(handler, "on_ping", None)
        self.pong_callback = getattr(handler, "on_pong", None)
        self.drain_callback = getattr(handler, "on_drain", None)
        self.failed_callback = getattr(handler, "on_connect_failed", None)
        return 0
