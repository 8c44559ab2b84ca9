# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# cython: cdivision=True
# (indices into the wheel are masked to its size; divisors are constants)
"""A timing wheel: one coarse deadline per object, set, moved and cleared in O(1).

An endpoint has a deadline at nearly all times (handshake, next ping, close) and moves it often,
but few ever pass. So nothing is sorted, and time is cut into ticks: what is due at tick t stands
in slot t % SLOTS, together with what is due a whole round or more later. When time reaches a
slot, those that are due move to the due ones and the others stay for another round.

The due ones are collected first and handed out one by one, so that a callback may set, move or
clear any deadline, also one that was collected together with its own, and so that one that
raises leaves the rest in place.

A slot is an array of addresses. Whoever has thousands of idle connections finds none of them in
the cache when its time comes: an array, unlike a list through the objects, tells which come next,
and their memory is fetched while the one before is at work. Leaving a slot makes a gap; gaps are
closed when they are more than half, which keeps the order and costs O(1) for each that left.
"""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

__all__ = ["SLOTS_PER_ROUND", "TICK_SECONDS", "Timed", "Wheel"]

#: The length of one tick in seconds; a deadline is late by up to so much, never early.
TICK_SECONDS = TICK_NS / 1e9
#: How many ticks later the wheel comes back to the same slot.
SLOTS_PER_ROUND = SLOTS

cdef enum:
    FEWEST = 8          # so many deadlines a slot has room for, once it was used
    MOST_KEPT = 64      # an empty slot with more room than for so many gives it back
    AHEAD = 3           # so far before its turn the memory of an object is fetched

cdef uint64_t LAST_TICK = UINT64_MAX - 1  # four billion years; one more can be counted


cdef int make_room(Slot *slot, size_t more) except -1:
    """Room for so many more: doubled, so that it is made seldom."""
    cdef size_t room = max(<size_t>FEWEST, 2 * <size_t>slot.room, slot.end + more)
    cdef void *grown
    if slot.end + more <= slot.room:
        return 0
    grown = realloc(slot.timed, room * sizeof(void *))
    if grown == NULL:
        raise MemoryError(f"no memory for {room} deadlines")
    slot.timed = <void **>grown
    slot.room = <uint32_t>room
    return 0


cdef inline void append(Slot *slot, void *timed) noexcept:
    slot.timed[slot.end] = timed
    (<Timed>timed).wheel_place = slot.end
    slot.end += 1
    slot.held += 1


cdef void give_back(Slot *slot) noexcept:
    """An empty slot begins at its beginning; one that was large returns its memory."""
    slot.begin = slot.end = 0
    if slot.room > MOST_KEPT:
        free(slot.timed)
        slot.timed = NULL
        slot.room = 0


cdef inline void take_out(Slot *slot, Timed timed) noexcept:
    slot.timed[timed.wheel_place] = NULL
    slot.held -= 1
    while slot.end > slot.begin and slot.timed[slot.end - 1] == NULL:
        slot.end -= 1
    if not slot.held:
        give_back(slot)
    elif slot.end - slot.begin > FEWEST + 2 * slot.held:
        close_gaps(slot)


cdef void close_gaps(Slot *slot) noexcept:
    cdef uint32_t place
    cdef uint32_t end = 0
    for place in range(slot.begin, slot.end):
        if slot.timed[place] != NULL:
            slot.timed[end] = slot.timed[place]
            (<Timed>slot.timed[end]).wheel_place = end
            end += 1
    slot.begin = 0
    slot.end = end


cdef class Timed:
    """What can have a deadline on a Wheel; `deadline` is the tick at which it is due, or 0."""

    def __dealloc__(self):
        # Only the cyclic collector gets here with a deadline: the owner died in the same garbage.
        if self.wheel != NULL:
            (<Wheel>self.wheel).remove(self)

    cdef int on_deadline(self) except -1:
        return 0


@cython.final
cdef class Wheel:
    """The wheel. It borrows its objects: the caller keeps them alive while they have a deadline.

    The methods for Python serve tests and tools; a loop in Cython uses those of the .pxd.
    """

    def __dealloc__(self):
        cdef int number
        free(self.due.timed)  # no slot holds anything: what has a deadline holds the wheel
        for number in range(SLOTS):
            free(self.slots[number].timed)

    cdef int insert(self, Timed timed, uint64_t tick) except -1:
        if timed.wheel != NULL:
            (<Wheel>timed.wheel).remove(timed)
        # The slot of a tick that has passed would be looked at a whole round too late.
        tick = max(min(tick, LAST_TICK), self.turned + 1)
        make_room(&self.slots[tick & (SLOTS - 1)], 1)
        append(&self.slots[tick & (SLOTS - 1)], <void *>timed)
        timed.deadline = tick
        timed.wheel = <void *>self
        Py_INCREF(self)
        return 0

    cdef void remove(self, Timed timed) noexcept:
        if timed.wheel != <void *>self:
            return
        if timed.deadline <= self.turned:
            take_out(&self.due, timed)
        else:
            take_out(&self.slots[timed.deadline & (SLOTS - 1)], timed)
        timed.deadline = 0
        timed.wheel = NULL
        Py_DECREF(self)

    cdef int collect(self, uint64_t tick) except -1:
        cdef uint64_t first, count, each
        cdef size_t most = 0
        tick = min(tick, LAST_TICK)
        if tick <= self.turned:
            return 0
        count = min(tick - self.turned, <uint64_t>SLOTS)
        first = tick - count + 1
        for each in range(first, first + count):
            most += self.slots[each & (SLOTS - 1)].held
        make_room(&self.due, most)  # first of all: a half collected slot could not be told
        for each in range(first, first + count):
            if self.slots[each & (SLOTS - 1)].held:
                self.collect_slot(&self.slots[each & (SLOTS - 1)], tick)
        self.turned = tick
        return 0

    cdef void collect_slot(self, Slot *slot, uint64_t tick) noexcept:
        """Move what is due to the due ones; what is not closes ranks."""
        cdef void *timed
        cdef uint32_t place
        for place in range(slot.end):
            timed = slot.timed[place]
            if timed != NULL and (<Timed>timed).deadline <= tick:
                append(&self.due, timed)
                slot.timed[place] = NULL
                slot.held -= 1
        close_gaps(slot)
        if not slot.held:
            give_back(slot)

    cdef Timed pop(self):
        cdef Slot *due = &self.due
        cdef Timed timed
        while due.begin < due.end:
            if due.end - due.begin > AHEAD and due.timed[due.begin + AHEAD] != NULL:
                ws_prefetch(due.timed[due.begin + AHEAD], FETCHED_BYTES)
            due.begin += 1
            if due.timed[due.begin - 1] != NULL:
                timed = <Timed>due.timed[due.begin - 1]
                self.remove(timed)
                return timed
        give_back(due)
        return None

    cdef uint64_t next_tick(self) noexcept:
        cdef uint64_t ahead
        cdef uint64_t round_length = SLOTS
        if self.due.held:
            return max(self.turned, <uint64_t>1)
        for ahead in range(1, round_length + 1):
            if self.slots[(self.turned + ahead) & (SLOTS - 1)].held:
                return self.turned + ahead
        return 0

    cdef void clear(self) noexcept:
        cdef int number
        self.empty(&self.due)
        for number in range(SLOTS):
            self.empty(&self.slots[number])

    cdef void empty(self, Slot *slot) noexcept:
        while slot.held:
            self.remove(<Timed>slot.timed[slot.end - 1])  # the last one is no gap
        give_back(slot)

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
