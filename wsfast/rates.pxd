"""How fast one peer may send: token buckets, kept in C, and only where a limit is set."""

from libc.stdint cimport uint64_t

cdef enum:                          # what is counted
    MESSAGES
    BYTES
    PINGS
    RATES                           # how many there are


cdef struct Buckets:                # of one connection
    double tokens[RATES]            # what may still come
    uint64_t filled                 # when they were filled up last, in ns


cdef class RateLimits:              # of Settings; None there: no limits
    cdef double per_second[RATES]   # also the burst, if it is 1 or more; 0: no limit

    cdef Buckets *new_buckets(self, uint64_t now) except NULL      # full; for free()
    # Whether so much may come now; what may is taken.
    cdef bint take(self, Buckets *buckets, int rate, double amount, uint64_t now) noexcept
    # Before reading from the peer pauses (capped: the bucket gets full), and when it goes on.
    cdef void fill(self, Buckets *buckets, uint64_t now, bint capped) noexcept
    cdef str reason(self, int rate)                    # for the Close frame
