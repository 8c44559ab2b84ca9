"""The file objects of a selector: the registry behind register, unregister and modify."""

from libc.stdint cimport uint32_t, uint64_t

from wsfast.poller cimport Poller

cdef enum:
    TAG_FILE = 1            # the lowest bit of the word that the poller keeps for a file


cdef class File:
    """A registered file object. Lives in this module and its users only."""

    cdef object key             # its SelectorKey
    cdef uint32_t events        # READABLE | WRITABLE
    cdef uint32_t generation    # which registration of its descriptor this is

    cdef uint64_t data(self, int fd) noexcept       # the word that the poller keeps for it


cdef class FileRegistry:
    """The half of a selectors.BaseSelector that keeps its file objects. Made for subclassing."""

    cdef readonly bint closed   # close() was called
    cdef Poller poller          # set by the subclass
    cdef dict files             # descriptor -> File
    cdef uint32_t generation    # of the last file that was registered
    cdef object map             # what get_map() returns

    cdef int check_open(self) except -1             # ValueError once closed
    cdef int check_free(self, object owner, int fd) except -1   # KeyError: fd is registered
    cdef File find(self, object fileobj)            # KeyError if it is not registered
    cdef list ready_files(self, Poller poller, int count)   # what select() returns of a batch
