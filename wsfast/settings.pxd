"""What all endpoints of one server, or of one client, share."""

from wsfast.loop cimport Loop


cdef class Settings:
    cdef readonly Loop loop               # where they live
    cdef readonly object role             # rfc6455.Role
    cdef readonly object limits           # limits.Limits; what C reads of it stands below
    cdef readonly bint views              # binary messages as memoryview, not bytes
    cdef readonly object opener           # makes the handshake of an endpoint: opener() -> object
    cdef readonly set endpoints           # those with a socket
    cdef size_t high_water_bytes          # queued bytes above which reading stops
    cdef size_t low_water_bytes           # ... and at or below which it goes on
    cdef size_t max_queue_bytes           # queued bytes above which a further send aborts
    cdef double opening_seconds           # from accept or connect to the end of the handshake
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
