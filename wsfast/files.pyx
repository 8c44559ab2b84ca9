# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (indices run over what the poller found)
"""The file objects of a selector: the registry behind register, unregister and modify.

What the standard library says of them, to the exceptions. The poller keeps a word for each: the
descriptor, and the generation of its registration, so that an event which was fetched for a file
that has gone is not taken for one of the file that got its descriptor.
"""

from libc.stdint cimport uint32_t, uint64_t

from wsfast.poller cimport HANGUP, READABLE, WRITABLE, Poller

from collections.abc import Mapping
from selectors import SelectorKey

__all__ = ["FileRegistry"]

cdef enum:
    LAST_GENERATION = 0x7FFFFFFF        # then from 1 again


cdef int to_descriptor(object fileobj) except -1:
    """The descriptor of a file object or of a number; ValueError in the words of selectors."""
    cdef object fd = fileobj
    if not isinstance(fileobj, int):
        try:
            fd = int(fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fileobj!r}") from None
    if not 0 <= fd <= 0x7FFFFFFF:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd


cdef int check_events(object events) except -1:
    if not events or events & ~(READABLE | WRITABLE):
        raise ValueError(f"Invalid events: {events!r}")
    return 0


cdef class File:
    cdef uint64_t data(self, int fd) noexcept:
        return (<uint64_t>self.generation << 32) | (<uint64_t>fd << 1) | TAG_FILE


class FileMap(Mapping):
    """The live view that get_map() returns: file object or descriptor to SelectorKey."""

    def __init__(self, files, lookup):
        self._files = files
        self._lookup = lookup

    def __len__(self):
        return len(self._files)

    def __iter__(self):
        return iter(self._files)

    def __getitem__(self, fileobj):
        cdef File file = self._files.get(self._lookup(fileobj))
        if file is None:
            raise KeyError(f"{fileobj!r} is not registered")
        return file.key


cdef class FileRegistry:
    """The half of a selectors.BaseSelector that keeps its file objects."""

    def __cinit__(self):
        self.files = {}
        self.map = FileMap(self.files, self._fileobj_lookup)

    cdef int check_open(self) except -1:
        if self.closed:
            raise ValueError("I/O operation on closed selector")
        return 0

    cdef int check_free(self, object owner, int fd) except -1:
        if fd in self.files:
            raise KeyError(f"{owner!r} (FD {fd}) is already registered")
        return 0

    def _fileobj_lookup(self, fileobj):
        cdef File file
        try:
            return to_descriptor(fileobj)
        except ValueError:
            for file in self.files.values():  # closed since, but still known by identity
                if file.key.fileobj is fileobj:
                    return file.key.fd
            raise

    cdef File find(self, object fileobj):
        cdef File file = self.files.get(self._fileobj_lookup(fileobj))
        if file is None:
            raise KeyError(f"{fileobj!r} is not registered")
        return file

    def register(self, fileobj, events, data=None):
        """Register a file object for EVENT_READ, EVENT_WRITE or both; return its SelectorKey.

        Raises:
            ValueError: `events` or `fileobj` is invalid, or the selector is closed.
            KeyError: the descriptor is already registered.
            OSError: the kernel refuses it, e.g. a regular file.
        """
        cdef File file = File.__new__(File)
        cdef int fd
        check_events(events)
        fd = self._fileobj_lookup(fileobj)
        self.check_open()
        self.check_free(fileobj, fd)
        self.generation = self.generation % LAST_GENERATION + 1
        file.key = SelectorKey(fileobj, fd, events, data)
        file.events = events
        file.generation = self.generation
        # One select() can report them all, and the timer and the wake-up besides.
        self.poller.reserve(<size_t>len(self.files) + 3)
        self.poller.add(fd, file.events, file.data(fd))
        self.files[fd] = file
        return file.key

    def unregister(self, fileobj):
        """Forget a file object, open or closed; return its SelectorKey.

        Raises:
            KeyError: it is not registered.
            ValueError: it is no file object.
        """
        cdef File file = self.find(fileobj)
        del self.files[file.key.fd]
        self.poller.drop(file.key.fd)
        return file.key

    def modify(self, fileobj, events, data=None):
        """Change the events and the data of a file object; return its new SelectorKey.

        Raises:
            ValueError: `events` or `fileobj` is invalid.
            KeyError: it is not registered.
            OSError: the kernel refuses the change; the file is then no longer registered.
        """
        cdef File file = self.find(fileobj)
        cdef int fd = file.key.fd
        check_events(events)
        if file.events != events:
            try:
                self.poller.change(fd, events, file.data(fd))
            except BaseException:
                del self.files[fd]
                raise
        file.events = events
        file.key = file.key._replace(events=events, data=data)
        return file.key

    def get_key(self, fileobj):
        """Return the SelectorKey of a file object.

        Raises:
            RuntimeError: the selector is closed.
            KeyError: the file object is not registered.
        """
        if self.closed:
            raise RuntimeError("Selector is closed")
        return self.find(fileobj).key

    def get_map(self):
        """Return a live, read-only mapping of file objects to keys, or None once closed."""
        return None if self.closed else self.map

    cdef list ready_files(self, Poller poller, int count):
        cdef list ready = []
        cdef File file
        cdef uint64_t data
        cdef uint32_t events
        cdef int i
        for i in range(count):
            data = poller.ready[i].data
            if data & TAG_FILE:
                file = self.files.get(<int>(<uint32_t>data >> 1))
                if file is not None and file.generation == data >> 32:
                    events = poller.ready[i].events
                    if events & HANGUP:  # an error is for whoever waits, to read or to write
                        events = READABLE | WRITABLE
                    if events & file.events:
                        ready.append((file.key, events & file.events))
        return ready
