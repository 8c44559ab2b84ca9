"""What all endpoints of one server, or of one client, share."""

from libc.stdint cimport uint64_t

from wsfast.loop cimport Loop


cdef class Settings:
    cdef readonly Loop loop               # where they live
    cdef readonly object role             # rfc6455.Role
    cdef readonly uint64_t max_message_bytes      # longest message accepted
    cdef readonly object max_fragments    # per message, or None
    cdef readonly bint views              # binary messages as memoryview, not bytes
    cdef readonly size_t high_water       # queued bytes above which reading stops
    cdef readonly size_t low_water        # ... and at or below which it goes on
    cdef readonly size_t max_queue_bytes  # queued bytes above which a further send aborts
    cdef readonly double opening_seconds  # from accept or connect to the end of the handshake
    cdef readonly double closing_seconds  # from our Close to the end of the connection
    cdef readonly object opener           # makes the handshake of an endpoint: opener() -> object
    cdef readonly set endpoints           # those with a socket
    cdef object open_callback             # the handler's methods, None where it has none
    cdef object message_callback
    cdef object close_callback
    cdef object ping_callback
    cdef object pong_callback
    cdef object drain_callback
    cdef object failed_callback           # on_connect_failed
