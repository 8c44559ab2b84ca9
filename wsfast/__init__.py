"""wsfast: a fast and strict WebSocket engine for Python.

What stands where:
    wsfast.connection   the sans-I/O protocol: bytes in, events out
    wsfast.handshake    the opening handshake, sans-I/O
    wsfast.server       serve(handler, host, port)
    wsfast.client       connect(url, handler)
    wsfast.endpoint     the `ws` that a handler of both gets
    wsfast.selector     the epoll loop under both
    wsfast.mask, wsfast.utf8, wsfast.frame   the kernels, also for cimport
    wsfast.scan         all frames of a buffer as a numpy array
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
