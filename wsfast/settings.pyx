# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
"""What all endpoints of one server, or of one client, share."""

cimport cython

from wsfast.rfc6455 import Role

__all__ = ["Settings"]


@cython.final
cdef class Settings:
    """What all endpoints of one server, or of one client, share.

    Args:
        loop: the `Loop` that they live on.
        role: `Role.SERVER` or `Role.CLIENT`.
        handler: any object; of its methods on_open(ws), on_message(ws, message),
            on_close(ws, close_code, close_reason), on_ping(ws, payload), on_pong(ws, payload),
            on_drain(ws) and on_connect_failed(ws, error) those that it has are called.
        opener: called without arguments for each connection; returns its opening handshake, an
            object with start(endpoint), receive(endpoint, data) and receive_eof(endpoint).
        max_message_bytes, max_fragments: as for `Connection`.
        views: hand binary messages on as memoryview of the receive buffer; such a view stays
            valid for as long as it is kept.
        high_water, low_water: bytes queued for a slow peer above which reading from it stops,
            and at which it goes on and on_drain is called. A client never stops reading: two
            ends that both did would wait for each other.
        max_queue_bytes: with more than this queued, a further send aborts the connection.
        opening_seconds, closing_seconds: deadlines of the two handshakes.
    """

    def __init__(
        self,
        Loop loop not None,
        role,
        handler,
        opener,
        *,
        max_message_bytes=1024 * 1024,
        max_fragments=None,
        views=False,
        high_water=256 * 1024,
        low_water=64 * 1024,
        max_queue_bytes=16 * 1024 * 1024,
        opening_seconds=10.0,
        closing_seconds=10.0,
    ):
        if not 0 <= low_water <= high_water <= max_queue_bytes:
            raise ValueError(
                f"low_water {low_water}, high_water {high_water}, max_queue_bytes "
                f"{max_queue_bytes} are not in rising order"
            )
        if not 0 < max_message_bytes < 1 << 62:
            raise ValueError(f"max_message_bytes is {max_message_bytes}, not in 1..2**62-1")
        if max_fragments is not None and not 0 < max_fragments < 1 << 62:
            raise ValueError(f"max_fragments is {max_fragments}, not in 1..2**62-1")
        if not (opening_seconds >= 0 and closing_seconds >= 0):
            raise ValueError(
                f"opening_seconds {opening_seconds} and closing_seconds {closing_seconds} "
                "are to be 0 or more"
            )
        self.loop = loop
        self.role = Role(role)
        self.opener = opener
        self.max_message_bytes = max_message_bytes
        self.max_fragments = max_fragments
        self.views = views
        self.high_water = high_water
        self.low_water = low_water
        self.max_queue_bytes = max_queue_bytes
        self.opening_seconds = opening_seconds
        self.closing_seconds = closing_seconds
        self.endpoints = set()
        self.open_callback = getattr(handler, "on_open", None)
        self.message_callback = getattr(handler, "on_message", None)
        self.close_callback = getattr(handler, "on_close", None)
        self.ping_callback = getattr(handler, "on_ping", None)
        self.pong_callback = getattr(handler, "on_pong", None)
        self.drain_callback = getattr(handler, "on_drain", None)
        self.failed_callback = getattr(handler, "on_connect_failed", None)
