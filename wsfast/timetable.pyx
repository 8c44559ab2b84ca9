# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: cdivision=True
# (divisors are constants)
"""When an open connection is pinged, given up, idle or too old. Knows no socket and no clock.

A connection has one deadline, and does not move it when bytes come: it only notes the time. When
the deadline passes, `look` says what is due, and if nothing is, when to look again. So traffic
costs a store. Only the pong of a heartbeat moves it, to the next ping: an idle connection, which
is in no cache, is then visited once for each ping, not once more for nothing.

Every received byte is a sign of life: as long as some come, no ping is sent. With jitter,
connections that were opened together do not ping together for long.
"""

cimport cython
from libc.string cimport memcmp, memcpy

import os

__all__ = ["Timetable"]


cdef inline uint64_t nanoseconds(object seconds) except? 0:
    return <uint64_t>min((seconds or 0.0) * 1e9, 9e18)


cdef inline uint64_t earlier(uint64_t first, uint64_t second) noexcept:
    """The earlier one, where 0 is never."""
    if not first or not second:
        return first | second
    return min(first, second)


@cython.final
cdef class Timetable:
    """The periods of `Limits`, for all connections that share them."""

    def __init__(self, limits):
        self.ping_interval = nanoseconds(limits.ping_interval_seconds)
        self.dead_after = nanoseconds(limits.dead_after_seconds)
        self.idle = nanoseconds(limits.idle_seconds)
        self.lifetime = nanoseconds(limits.lifetime_seconds)
        self.ping_jitter = limits.ping_jitter
        self.lifetime_jitter = limits.lifetime_jitter
        self.random = int.from_bytes(os.urandom(8), "big") | 1
        self.mark = int.from_bytes(os.urandom(4), "big")
        self.veil = int.from_bytes(os.urandom(4), "big")

    cdef double draw(self) noexcept:
        # xorshift64* (Vigna 2016): only to spread load, never for keys.
        self.random ^= self.random >> 12
        self.random ^= self.random << 25
        self.random ^= self.random >> 27
        return <double>((self.random * <uint64_t>0x2545F4914F6CDD1D) >> 11) / (<uint64_t>1 << 53)

    cdef uint64_t draw_interval(self) noexcept:
        cdef double factor = 1.0 + self.ping_jitter * (2.0 * self.draw() - 1.0)
        return <uint64_t>(self.ping_interval * factor)

    cdef void begin(self, Times *times, uint64_t now) noexcept:
        times.heard = now
        times.active = now
        times.pinged = 0
        times.round_trip = 0
        times.interval = self.draw_interval()
        times.expires = 0
        if self.lifetime:
            times.expires = now + <uint64_t>(
                self.lifetime * (1.0 - self.lifetime_jitter * self.draw())
            )

    cdef Due look(self, Times *times, uint64_t now, uint64_t *again) noexcept:
        cdef uint64_t due
        again[0] = times.expires
        if times.expires and now >= times.expires:
            return EXPIRED
        if self.idle:
            due = times.active + self.idle
            if now >= due:
                return IDLE
            again[0] = earlier(again[0], due)
        if not self.ping_interval:
            return NOTHING
        if times.pinged > times.heard and self.dead_after:
            due = times.pinged + self.dead_after
            if now >= due:
                return DEAD
            due = min(due, now + times.interval)  # it may have answered by then
        else:
            due = max(times.pinged, times.heard) + times.interval
            if now >= due:
                return PING_DUE
        again[0] = earlier(again[0], due)
        return NOTHING

    cdef void ping(self, Times *times, uint64_t now, uint8_t *payload) noexcept:
        cdef uint32_t stamp = <uint32_t>now ^ self.veil
        times.pinged = now
        times.interval = self.draw_interval()
        memcpy(payload, &self.mark, 4)
        memcpy(payload + 4, &stamp, 4)

    cdef bint pong(
        self, Times *times, uint64_t now, const uint8_t *payload, size_t size
    ) noexcept:
        cdef uint32_t stamp
        if size != HEARTBEAT_BYTES or memcmp(payload, &self.mark, 4):
            return False
        memcpy(&stamp, payload + 4, 4)
        if times.pinged and stamp ^ self.veil == <uint32_t>times.pinged:
            times.round_trip = max(now - times.pinged, <uint64_t>1)
        return True
