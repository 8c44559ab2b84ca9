# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (the index of a bucket is a constant)
"""How fast one peer may send: token buckets, kept in C, and only where a limit is set.

A bucket holds what one second allows, and is full at first: so much may come at once, and from
then on no more than the rate. A rate below 1 has a burst of one.

While nothing is read from a peer, what it sends waits in the kernels and comes in one piece later.
That is not its fault: what the rate allowed for that time comes on top of what the bucket holds.
"""

cimport cython
from libc.stdlib cimport malloc

__all__ = ["RateLimits"]


@cython.final
cdef class RateLimits:
    """The rates of `Limits`, for all connections that share them."""

    def __init__(self, limits):
        self.per_second[MESSAGES] = limits.max_messages_per_second or 0
        self.per_second[BYTES] = limits.max_received_bytes_per_second or 0
        self.per_second[PINGS] = limits.max_pings_per_second or 0

    @staticmethod
    def of(limits):
        """The rates of `limits`, or None if they have none."""
        cdef RateLimits made = RateLimits(limits)
        if made.per_second[MESSAGES] or made.per_second[BYTES] or made.per_second[PINGS]:
            return made
        return None

    cdef Buckets *new_buckets(self, uint64_t now) except NULL:
        cdef Buckets *buckets = <Buckets *>malloc(sizeof(Buckets))
        cdef int rate
        if buckets == NULL:
            raise MemoryError("no memory for the rate limits of a connection")
        for rate in range(RATES):
            buckets.tokens[rate] = max(self.per_second[rate], 1.0)
        buckets.filled = now
        return buckets

    cdef bint take(self, Buckets *buckets, int rate, double amount, uint64_t now) noexcept:
        if not self.per_second[rate]:
            return True
        self.fill(buckets, now, True)
        buckets.tokens[rate] -= amount
        return buckets.tokens[rate] >= 0

    cdef void fill(self, Buckets *buckets, uint64_t now, bint capped) noexcept:
        cdef double seconds, held, filled
        cdef int each
        if now <= buckets.filled:
            return
        seconds = (now - buckets.filled) / 1e9
        buckets.filled = now
        for each in range(RATES):
            held = buckets.tokens[each]
            filled = held + seconds * self.per_second[each]
            if capped:  # but what was granted for a pause stays
                filled = max(held, min(filled, max(self.per_second[each], 1.0)))
            buckets.tokens[each] = filled

    cdef str reason(self, int rate):
        what = ("messages", "bytes", "pings")[rate]
        return f"more than {self.per_second[rate]:g} {what} per second"
