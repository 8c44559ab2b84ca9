# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
"""A listening socket on a loop: accepts connections as endpoints.

When the process or the system is out of descriptors or memory, the kernel keeps reporting the
listening socket as readable: accepting pauses for a moment instead of spinning, and everything
that is open is served on.
"""

cimport cython
from libc.errno cimport EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint32_t
from posix.unistd cimport close

from wsfast.endpoint cimport OPENING, Endpoint
from wsfast.selector cimport READABLE, Stream
from wsfast.settings cimport Settings

import logging
import os

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    /* A non-blocking descriptor that is not inherited, or -1; and its peer's host, "" if none. */
    static int ws_accept(int listening, char *host, size_t size) {
        struct sockaddr_storage peer = {0};
        struct sockaddr *any = (struct sockaddr *)&peer;
        socklen_t length = sizeof peer;
    #if defined(__linux__)
        int fd = accept4(listening, any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    #else
        int fd = accept(listening, any, &length);
        if (fd >= 0) {
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            fcntl(fd, F_SETFL, O_NONBLOCK);
        }
    #endif
        const void *address = NULL;
        if (peer.ss_family == AF_INET) address = &((struct sockaddr_in *)any)->sin_addr;
        if (peer.ss_family == AF_INET6) address = &((struct sockaddr_in6 *)any)->sin6_addr;
        if (!address || !inet_ntop(peer.ss_family, address, host, (socklen_t)size)) host[0] = 0;
        return fd;
    }
    """
    int ws_accept(int listening, char *host, size_t size) nogil

__all__ = ["Listener"]

cdef enum:
    BATCH = 64                    # connections accepted in one turn, so that others get theirs

cdef double STARVED_SECONDS = 0.25

_log = logging.getLogger("wsfast")


@cython.final
cdef class Listener(Stream):
    """Accepts on a socket.

    Args:
        settings: of the endpoints to make.
        socket: a listening, non-blocking `socket.socket`; owned from now on. TCP_NODELAY set on
            it holds for what it accepts.
        make: `Endpoint` or a subclass of it.
        gate: called with the host that a connection comes from, None for a Unix socket; returns
            its place, on which leave() is called when its socket ends (wsfast.admission), or None:
            it is closed at once. Without a gate all may come.
    """

    def __init__(self, Settings settings not None, socket, make=Endpoint, gate=None):
        self.gate = gate
        self.settings = settings
        self.make = make
        self.socket = socket
        settings.loop.selector.add_stream(self, socket.fileno(), READABLE)

    @property
    def address(self):
        """What it listens on, as the socket module gives it."""
        return self.socket.getsockname()

    cdef int on_ready(self, uint32_t events) except -1:
        cdef int budget = BATCH
        while budget and self.fd >= 0 and self.accept():
            budget -= 1
        if self.interest and budget < BATCH:
            self.starved = False  # the next shortage is worth a line again
        return 0

    cdef int accept(self) except -1:
        cdef char host[64]
        cdef int fd = ws_accept(self.fd, host, sizeof(host))
        cdef int error = errno
        if fd >= 0:
            try:
                return self.let_in(fd, host)
            except BaseException as failure:
                close(fd)
                if not isinstance(failure, OSError):
                    raise
                return self.starve(failure.errno)  # epoll has a limit of its own
        if error in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
            self.starve(error)
        return 0

    cdef int let_in(self, int fd, const char *host) except -1:
        """Make an endpoint of it, or close it if the gate says so."""
        cdef Endpoint endpoint
        place = None
        if self.gate is not None:
            place = self.gate(host.decode("ascii") if host[0] else None)
            if place is None:
                close(fd)
                return 1
        try:
            endpoint = self.make(self.settings)
            endpoint.attach(fd, OPENING)
        except BaseException:
            if place is not None:
                place.leave()
            raise
        endpoint.counted_at = place
        return 1

    cdef int starve(self, int error) except -1:
        if not self.starved:
            _log.warning(
                "cannot accept: %s; %d connections are open and served on, new ones wait",
                os.strerror(error),
                len(self.settings.endpoints),
            )
        self.starved = True
        self.settings.loop.selector.set_interest(self, 0)
        self.settings.loop.selector.set_deadline(self, STARVED_SECONDS)
        return 0

    cdef int on_deadline(self) except -1:
        self.settings.loop.selector.set_interest(self, READABLE)
        return 0

    def close(self):
        """Stop listening; what was accepted stays."""
        if self.fd >= 0:
            self.settings.loop.selector.remove_stream(self)
            self.socket.close()
