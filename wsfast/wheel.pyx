# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# cython: cdivision=True
# (indices into the wheel are masked to its size; divisors are constants)
"""A timing wheel: one coarse deadline per object, set, moved and cleared in O(1).

An endpoint has a deadline at nearly all times (handshake, next ping, close) and moves it often,
but few ever pass. So the list node lives inside the object, nothing is sorted, and time is cut
into ticks: what is due at tick t hangs in slot t % SLOTS, together with what is due a whole round
or more later. When time reaches a slot, those that are due move to the list of the due ones and
the others stay for another round.

The due ones are collected first and handed out one by one, so that a callback may set, move or
clear any deadline, also one that was collected together with its own, and so that one that
raises leaves the rest in place.

The links are those of the Linux kernel's hlist: `wheel_previous` is the address of the pointer
that leads to the object, be that a slot or a neighbour, so that leaving a list needs no wheel.
"""

cimport cython
from libc.stdint cimport uint64_t

__all__ = ["SLOTS_PER_ROUND", "TICK_SECONDS", "Timed", "Wheel"]

#: The length of one tick in seconds; a deadline is late by up to so much, never early.
TICK_SECONDS = TICK_NS / 1e9
#: How many ticks later the wheel comes back to the same slot.
SLOTS_PER_ROUND = SLOTS


cdef inline void link(Timed timed, void **head) noexcept:
    timed.wheel_next = head[0]
    timed.wheel_previous = head
    if head[0] != NULL:
        (<Timed>head[0]).wheel_previous = &timed.wheel_next
    head[0] = <void *>timed


cdef inline void unlink(Timed timed) noexcept:
    timed.wheel_previous[0] = timed.wheel_next
    if timed.wheel_next != NULL:
        (<Timed>timed.wheel_next).wheel_previous = timed.wheel_previous
    timed.wheel_next = NULL
    timed.wheel_previous = NULL


cdef void move_due(void *timed, uint64_t tick, void **head) noexcept:
    """Move what is due at `tick` from the list behind `timed` to the front of another."""
    cdef void *following
    while timed != NULL:
        following = (<Timed>timed).wheel_next
        if (<Timed>timed).deadline <= tick:
            unlink(<Timed>timed)
            link(<Timed>timed, head)
        timed = following


cdef void empty(void **head) noexcept:
    cdef void *timed
    while head[0] != NULL:
        timed = head[0]
        unlink(<Timed>timed)
        (<Timed>timed).deadline = 0


cdef class Timed:
    """What can have a deadline on a Wheel; `deadline` is the tick at which it is due, or 0."""

    def __dealloc__(self):
        # Only the cyclic collector gets here with a deadline: the owner died in the same garbage.
        if self.wheel_previous != NULL:
            unlink(self)

    cdef int on_deadline(self) except -1:
        return 0


@cython.final
cdef class Wheel:
    """The wheel. It borrows its objects: the caller keeps them alive while they have a deadline.

    The methods for Python serve tests and tools; a loop in Cython uses those of the .pxd.
    """

    def __dealloc__(self):
        self.clear()

    cdef void insert(self, Timed timed, uint64_t tick) noexcept:
        if timed.wheel_previous != NULL:
            unlink(timed)
        # The slot of a tick that has passed would be looked at a whole round too late.
        timed.deadline = max(tick, self.turned + 1)
        link(timed, &self.slots[timed.deadline & (SLOTS - 1)])

    cdef void remove(self, Timed timed) noexcept:
        if timed.wheel_previous != NULL:
            unlink(timed)
            timed.deadline = 0

    cdef void collect(self, uint64_t tick) noexcept:
        cdef uint64_t back
        if tick <= self.turned:
            return
        # Backwards, and each to the front: earlier ticks end up first, equal ones in the order
        # in which they were set.
        for back in range(min(tick - self.turned, <uint64_t>SLOTS)):
            move_due(self.slots[(tick - back) & (SLOTS - 1)], tick, &self.due)
        self.turned = tick

    cdef Timed pop(self):
        cdef Timed timed
        if self.due == NULL:
            return None
        timed = <Timed>self.due
        unlink(timed)
        timed.deadline = 0
        return timed

    cdef uint64_t next_tick(self) noexcept:
        cdef uint64_t ahead
        cdef uint64_t round_length = SLOTS
        if self.due != NULL:
            return max(self.turned, <uint64_t>1)
        for ahead in range(1, round_length + 1):
            if self.slots[(self.turned + ahead) & (SLOTS - 1)] != NULL:
                return self.turned + ahead
        return 0

    cdef void clear(self) noexcept:
        cdef int slot
        empty(&self.due)
        for slot in range(SLOTS):
            empty(&self.slots[slot])

    def set_deadline(self, Timed timed not None, uint64_t tick):
        """Make `timed` due at `tick`, in place of an earlier deadline.

        A tick that was passed to `advance` already means the one after it.
        """
        self.insert(timed, tick)

    def clear_deadline(self, Timed timed not None):
        """Take the deadline of `timed` away, if it has one."""
        self.remove(timed)

    def advance(self, uint64_t tick):
        """Return a list of all that became due up to and including `tick`, earliest first."""
        cdef Timed timed
        cdef list due = []
        self.collect(tick)
        while True:
            timed = self.pop()
            if timed is None:
                return due
            due.append(timed)

    def next_wakeup(self):
        """Return the next tick worth advancing to, or 0 if nothing has a deadline.

        No deadline lies before it; one that lies a round later may hang in the same slot.
        """
        return self.next_tick()
