"""The echo without a Python object per message."""

from wsfast.endpoint cimport Endpoint


cdef class EchoEndpoint(Endpoint):
    pass
