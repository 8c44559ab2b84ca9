"""Messages of several sockets that leave with one system call."""

from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    BATCH_MESSAGES = 16             # so many leave together at most
    MESSAGE_BYTES = 2048            # each of so many bytes at most: larger ones gain nothing


cdef class SendBatch:
    cdef void *ring                 # private: what it shares with the kernel; NULL: not opened
    cdef readonly uint32_t count    # messages that wait to leave
    cdef uint8_t *data              # theirs, one behind the other
    cdef uint32_t begins[BATCH_MESSAGES + 1]      # where in it each begins
    cdef int results[BATCH_MESSAGES]              # of the last submit, as of send(); or -errno

    # The socket of that number from now on; fd -1: none. Until then its file stays open.
    cdef int assign(self, uint32_t number, int fd) except -1
    # One more of MESSAGE_BYTES at most, while there are less than BATCH_MESSAGES.
    cdef void add(self, uint32_t number, const uint8_t *message, size_t size) noexcept
    # All leave; those that could not be handed to the kernel have the result -EAGAIN.
    cdef void submit(self) noexcept
    cdef void clear(self) noexcept                # before the next ones
