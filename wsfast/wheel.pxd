"""A timing wheel: one coarse deadline per object, set, moved and cleared in O(1)."""

from libc.stdint cimport uint64_t

cdef enum:
    TICK_NS = 62500000              # one tick, in nanoseconds: 1/16 s
    SLOTS = 512                     # ticks in one round of the wheel: 32 s; a power of two


cdef class Timed:
    """What can have a deadline. Meant for subclassing."""

    cdef readonly uint64_t deadline  # the tick at which it is due; 0: none
    cdef void *wheel_next            # the next one of the same list (borrowed); NULL: the last
    cdef void **wheel_previous       # the pointer that leads here; NULL: in no list

    cdef int on_deadline(self) except -1    # the deadline passed; it is cleared


cdef class Wheel:
    # The wheel owns nothing: who inserts an object keeps it alive while it has a deadline. One
    # that dies all the same leaves its list by itself.
    cdef uint64_t turned            # every tick up to and including this one was collected
    cdef void *due                  # collected and not yet popped, the earliest tick first
    cdef void *slots[SLOTS]         # what is due at a tick, in the list of tick % SLOTS

    cdef void insert(self, Timed timed, uint64_t tick) noexcept  # replaces an earlier deadline
    cdef void remove(self, Timed timed) noexcept                 # nothing happens if it has none
    cdef void collect(self, uint64_t tick) noexcept              # moves all that is due to `due`
    cdef Timed pop(self)                    # the next collected one, its deadline cleared; or None
    cdef uint64_t next_tick(self) noexcept  # the earliest tick worth a look; 0: wheel is empty
    cdef void clear(self) noexcept          # takes every deadline away
