"""When an open connection is pinged, given up, idle or too old. Knows no socket and no clock."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    HEARTBEAT_BYTES = 8             # payload of our pings

cdef enum Due:
    NOTHING                         # wait
    PING_DUE                        # nothing came for an interval
    DEAD                            # nothing came after a ping
    IDLE                            # no message went either way
    EXPIRED                         # it has lived long enough


cdef struct Times:                  # of one connection; all in ns of one clock
    uint64_t heard                  # when bytes came last
    uint64_t active                 # when a message came or went last
    uint64_t pinged                 # when our last ping was sent; 0: never
    uint64_t interval               # from then, or from the last bytes, to the next ping
    uint64_t expires                # the end of its life; 0: never
    uint64_t round_trip             # of our last ping that was answered; 0: none


cdef class Timetable:
    cdef uint64_t ping_interval     # the periods of Limits in ns; 0: off
    cdef uint64_t dead_after
    cdef uint64_t idle
    cdef uint64_t lifetime
    cdef double ping_jitter         # share of an interval by which it varies, both ways
    cdef double lifetime_jitter     # share of a lifetime by which it may be shorter
    cdef uint64_t random            # state of the generator of jitter; never 0
    cdef uint32_t mark              # begins the payload of every ping of ours
    cdef uint32_t veil              # hides our clock in it

    cdef void begin(self, Times *times, uint64_t now) noexcept        # it is open from now on
    # What is to be done now, and if nothing: when to look again (0: never).
    cdef Due look(self, Times *times, uint64_t now, uint64_t *again) noexcept
    # A ping leaves now: its payload of HEARTBEAT_BYTES.
    cdef void ping(self, Times *times, uint64_t now, uint8_t *payload) noexcept
    # Whether a pong answers a ping of ours.
    cdef bint pong(
        self, Times *times, uint64_t now, const uint8_t *payload, size_t size
    ) noexcept

    # private
    cdef double draw(self) noexcept             # 0 to 1, 1 excluded
    cdef uint64_t draw_interval(self) noexcept
