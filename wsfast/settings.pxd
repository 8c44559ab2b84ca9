"""What all endpoints of one server, or of one client, share."""

from libc.stdint cimport int64_t, uint64_t

from wsfast.backlog cimport Policy
from wsfast.loop cimport Loop
from wsfast.rates cimport RateLimits
from wsfast.timetable cimport Timetable


cdef struct Counters:                     # of all endpoints; the names are those of `stats`
    uint64_t accepted                     # sockets: accepted, or connecting (clients)
    uint64_t opened                       # opening handshakes that succeeded
    uint64_t refused                      # ... that were answered with a refusal
    uint64_t failed                       # ... that came to nothing otherwise
    uint64_t pages                        # plain requests that were answered
    uint64_t closed                       # connections that were open and ended
    uint64_t messages_received
    uint64_t messages_sent
    uint64_t bytes_received               # on the wire, opening handshakes included
    uint64_t bytes_sent
    uint64_t pings_sent                   # heartbeats, and those of the application
    uint64_t dead_peers                   # given up: no byte came after a heartbeat
    uint64_t idle_closed                  # closed because no message went either way
    uint64_t lifetime_closed              # closed because they were open for so long
    uint64_t dropped_messages             # that a slow peer did not read in time
    uint64_t slow_closed                  # closed or aborted: a slow peer left too much unread
    uint64_t over_budget                  # of these: all connections together had too much
    uint64_t rate_limited                 # failed with 1008: the peer sent too fast


cdef struct Tally:                        # of one connection; see traffic.Traffic
    uint64_t opened                       # when, in ns of the loop's clock
    uint64_t closed                       # its socket; 0: not yet
    uint64_t messages_received
    uint64_t messages_sent
    uint64_t bytes_received
    int64_t bytes_sent                    # below 0: so much of the 101 has not left yet
    bint ended_by_us                      # we began to end it, with a Close or without
    bint ended                            # somebody did


cdef class Settings:
    cdef readonly Loop loop               # where they live
    cdef readonly object role             # rfc6455.Role
    cdef readonly object limits           # limits.Limits; what C reads of it stands below
    cdef readonly bint views              # binary messages as memoryview, not bytes
    cdef readonly bint count_traffic      # each connection has a tally of its own
    cdef readonly bint keep_request       # ws.request is kept for the life of the connection
    cdef readonly object opener           # makes the handshake of an endpoint: opener() -> object
    cdef readonly object make_session     # makes the TLS session of an endpoint; None: plain
    cdef readonly bint preface            # what comes before TLS goes to the opening as it is
    cdef readonly set endpoints           # those with a socket
    cdef RateLimits rates                 # how fast a peer may send; None: as it likes
    cdef Timetable timetable              # when an open one is pinged, given up, closed
    cdef Counters counters                # what happened so far
    cdef size_t high_water_bytes          # queued bytes above which reading stops
    cdef size_t low_water_bytes           # ... and at or below which it goes on
    cdef size_t max_queue_bytes           # queued bytes above which the policy holds
    cdef size_t max_buffered_bytes        # of all connections of the loop; 0: no limit
    cdef Policy slow_consumer             # what becomes of what a slow peer does not read
    cdef double opening_seconds           # from accept or connect to the end of the handshake
    cdef double keep_alive_seconds        # from a page to the next request; 0: no next one
    cdef double closing_seconds           # from our Close to the end of the connection
    cdef object open_callback             # the handler's methods, None where it has none
    cdef object message_callback
    cdef object close_callback
    cdef object ping_callback
    cdef object pong_callback
    cdef object drain_callback
    cdef object failed_callback           # on_connect_failed

    # private
    cdef int take_methods(self, object handler) except -1
