"""A listening socket on a loop: accepts connections as endpoints."""

from wsfast.selector cimport Stream
from wsfast.settings cimport Settings


cdef class Listener(Stream):
    cdef readonly Settings settings       # for the endpoints that it makes
    cdef object make                      # make(settings) -> Endpoint
    cdef object gate                      # gate(host) -> place or None: turned away; None: no gate
    cdef object socket                    # what we listen on
    cdef bint starved                     # out of descriptors or memory: not accepting for a while

    cdef int accept(self) except -1       # one connection; 0: there is none
    cdef int let_in(self, int fd, const char *host) except -1
    cdef int starve(self, int error) except -1
