"""A timing wheel: one coarse deadline per object, set, moved and cleared in O(1)."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    /* Has memory fetched into the cache, by lines of 64 bytes, without waiting for it. */
    static inline void ws_prefetch(const void *memory, int size) {
    #ifdef __GNUC__
        for (int offset = 0; offset < size; offset += 64) {
            __builtin_prefetch((const char *)memory + offset);
        }
    #else
        (void)memory, (void)size;
    #endif
    }
    """
    void ws_prefetch(const void *memory, int size) noexcept nogil

cdef enum:
    FETCHED_BYTES = 448             # of an object before its turn: an endpoint, or a bit more
    TICK_NS = 62500000              # one tick, in nanoseconds: 1/16 s
    SLOTS = 512                     # ticks in one round of the wheel: 32 s; a power of two


cdef struct Slot:                   # what is due at a tick, in the order in which it was set
    void **timed                    # borrowed; NULL: a gap, never the last one
    uint32_t begin                  # of the due ones: those before it were handed out; else 0
    uint32_t end
    uint32_t held                   # how many are no gaps
    uint32_t room


cdef class Timed:
    """What can have a deadline. Meant for subclassing."""

    cdef readonly uint64_t deadline  # the tick at which it is due; 0: none
    cdef void *wheel                 # the Wheel on which it is, owned; NULL: on none
    cdef uint32_t wheel_place        # private: where in its slot

    cdef int on_deadline(self) except -1    # the deadline passed; it is cleared


cdef class Wheel:
    # The wheel owns nothing: who inserts an object keeps it alive while it has a deadline. One
    # that dies all the same leaves by itself, and so holds the wheel.
    cdef uint64_t turned            # every tick up to and including this one was collected
    cdef Slot due                   # collected and not yet popped, the earliest tick first
    cdef Slot slots[SLOTS]          # what is due at a tick is in that of tick % SLOTS

    cdef int insert(self, Timed timed, uint64_t tick) except -1  # replaces an earlier deadline
    cdef void remove(self, Timed timed) noexcept                 # nothing happens if it has none
    cdef int collect(self, uint64_t tick) except -1              # moves all that is due to `due`
    cdef Timed pop(self)                    # the next collected one, its deadline cleared; or None
    cdef uint64_t next_tick(self) noexcept  # the earliest tick worth a look; 0: wheel is empty
    cdef void clear(self) noexcept          # takes every deadline away

    # private
    cdef void collect_slot(self, Slot *slot, uint64_t tick) noexcept
    cdef void empty(self, Slot *slot) noexcept
