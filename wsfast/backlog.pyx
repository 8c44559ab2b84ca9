# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
"""Whole messages that wait for a slow peer, and may be dropped.

What stands in a transport's queue is bytes, of which some have left already: nothing there can be
taken back. So under a policy that drops, messages wait here, as they were given to `send`, and go
to the queue only when it runs low. Control frames go past them.

The order is that in which the messages were sent. One that replaces an older one of its key comes
at the end, and not in its place: else it would overtake what was sent between the two.
"""

cimport cython

import collections

__all__ = ["POLICIES", "Backlog"]

#: The policies for slow consumers, by name.
POLICIES = {
    "wait": WAIT,
    "close": CLOSE_SLOW,
    "drop-oldest": DROP_OLDEST,
    "newest-per-key": NEWEST_PER_KEY,
}

cdef enum:
    ENTRY_BYTES = 256               # what an entry takes beside its message, roughly


cdef object as_held(object message):
    """What will be sent later, whatever becomes of the original: a str, or bytes; and its size.

    Raises:
        TypeError, UnicodeEncodeError: as `send` does.
    """
    if isinstance(message, str):
        return message, len(message) if message.isascii() else len(message.encode())
    message = bytes(memoryview(message))
    return message, len(message)


@cython.final
cdef class Backlog:
    """Messages in the order of their sending, the oldest first."""

    def __cinit__(self):
        self.messages = collections.OrderedDict()

    def __len__(self):
        return len(self.messages)

    cdef int push(self, object message, object key) except -1:
        cdef size_t size
        cdef int dropped = 0
        message, size = as_held(message)
        if key is None:
            key = object()  # equal to no other
        older = self.messages.pop(key, None)
        if older is not None:
            self.bytes -= <size_t>older[1] + ENTRY_BYTES
            dropped = 1
        self.messages[key] = (message, size)
        self.bytes += size + ENTRY_BYTES
        return dropped

    cdef int drop_oldest(self, size_t limit) except -1:
        cdef int dropped = 0
        while self.bytes > limit and len(self.messages) > 1:
            self.pop()
            dropped += 1
        return dropped

    cdef object pop(self):
        if not self.messages:
            return None
        _, (message, size) = self.messages.popitem(last=False)
        self.bytes -= <size_t>size + ENTRY_BYTES
        return message
