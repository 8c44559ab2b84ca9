"""Whole messages that wait for a slow peer, and may be dropped."""

cdef enum Policy:                   # what becomes of what a slow peer does not read
    WAIT                            # it waits; beyond max_queue_bytes the connection is aborted
    CLOSE_SLOW                      # ... the connection is closed with 1013
    DROP_OLDEST                     # ... the oldest whole messages are dropped
    NEWEST_PER_KEY                  # of each key only the newest waits; beyond: closed with 1013


cdef class Backlog:
    cdef object messages            # OrderedDict: key -> (message, its size)
    cdef readonly size_t bytes      # what they take, with a constant for each

    # Append; an older one of the same key is dropped: returns how many were (0 or 1).
    cdef int push(self, object message, object key) except -1
    cdef int drop_oldest(self, size_t limit) except -1      # down to it; never the newest of all
    cdef object pop(self)                                   # the oldest one; None if there is none
