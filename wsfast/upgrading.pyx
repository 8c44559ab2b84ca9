# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; an endpoint belongs to the thread of its loop)
"""A socket on its way to be a WebSocket: TCP, TLS, and the opening handshake.

The handshake itself is an object that the settings' opener makes, and that is let go of when it
is over. It gets the bytes and answers with `write`, and then with `open` (of Endpoint), `refuse`
or `fail`. One deadline holds for all of it, and incoming bytes do not move it.

A plain request is answered with `answer`, and may be followed by others, the last of which may
open a WebSocket: each of them has that deadline, from its first byte on, and the time without any
has one of its own. Nothing is told of a connection that ends between two requests.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from wsfast.selector cimport EDGE, READABLE, WRITABLE

import os

from wsfast.errors import ConnectFailed, LocalProtocolError, TlsFailed
from wsfast.refusal import Refusal
from wsfast.rfc6455 import Role

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/socket.h>
    static int ws_socket_error(int fd) {
        int error = 0;
        socklen_t size = sizeof error;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? errno : error;
    }
    """
    int ws_socket_error(int fd) nogil

__all__ = ["Upgrading"]

cdef object CLIENT = Role.CLIENT
cdef bytes NO_TLS = Refusal(400, "this port speaks TLS: use wss:// or https://").response


cdef class Upgrading(Opened):
    """A transport before its first frame; an endpoint adds what comes then."""

    def __cinit__(self, *args, **kwargs):
        self.phase = DONE

    # --- for the opening handshake -----------------------------------------------------------

    def write(self, data):
        """Send bytes of the opening handshake as they are; nothing if the socket is closed.

        Raises:
            LocalProtocolError: TCP or TLS does not stand yet.
        """
        cdef bytes raw = bytes(memoryview(data))
        if self.phase == CONNECTING or (self.session is not None and not self.session.established):
            raise LocalProtocolError("TCP or TLS does not stand yet")
        if self.fd >= 0:
            self.write_bytes(<const uint8_t *>PyBytes_AS_STRING(raw), len(raw))

    def adopt(self, int fd):
        """Own a non-blocking TCP socket whose connect is under way (clients)."""
        self.attach(fd, CONNECTING)

    def continue_opening(self):
        """Have the opening's receive called soon, without new bytes: its answer took its time."""
        if self.phase == OPENING:
            self.answer_ready = True
            self.loop.selector.at_turn_end(self)

    def fail(self, error):
        """Give up: on_connect_failed gets the error, or the open connection ends with 1011."""
        if self.phase == CONNECTING or self.phase == OPENING:
            self.fail_opening(error)
        elif self.phase == OPEN:
            self.fail_open()

    def refuse(self, response):
        """Send an HTTP response in place of the handshake and end the connection.

        A TLS handshake that is not over is broken off: nothing can be said before. Where no
        request waits for an answer, the connection is just closed. The opening's
        on_answered(response) is called, if it has one, whoever refused.
        """
        if self.phase == KEPT:
            self.close_socket()
        if self.phase != OPENING:
            return
        if self.session is not None and not self.session.established:
            self.fail_opening(ConnectFailed("refused before the TLS handshake was over"))
            return
        self.write(response)
        self.phase = REFUSED
        self.settings.counters.refused += 1
        self.tell_answered(response)
        self.opening = None

    def answer(self, response, bint keep):
        """Send the answer to a plain request; the opening's on_answered(response) is called.

        Args:
            response: all of it.
            keep: wait for another request, for as long as `keep_alive_seconds` of the limits
                says; the opening may hand on what has arrived of it by returning it from
                `receive`. Otherwise the connection ends.
        """
        if self.phase != OPENING:
            return
        self.write(response)
        self.settings.counters.pages += 1
        self.phase = KEPT if keep else REFUSED
        self.tell_answered(response)
        if not keep:
            self.opening = None
        elif self.phase == KEPT:  # whoever heard of it may have closed it
            self.loop.selector.set_deadline(self, self.settings.keep_alive_seconds)

    # --- life ------------------------------------------------------------------------------

    cdef int attach(self, int fd, Phase phase) except -1:
        cdef uint32_t interest = EDGE | READABLE if phase == OPENING else EDGE | WRITABLE
        if phase == OPENING and self.settings.make_session is not None:
            self.session = self.settings.make_session()
            self.session.preface = self.settings.preface
        self.loop.selector.add_stream(self, fd, interest)
        self.phase = phase
        self.settings.endpoints.add(self)
        self.settings.counters.accepted += 1
        self.loop.selector.set_deadline(self, self.settings.opening_seconds)
        return 0

    cdef int finish_connect(self) except -1:
        cdef int error = ws_socket_error(self.fd)
        if error:
            return self.fail_opening(ConnectFailed(error, os.strerror(error)))
        self.phase = OPENING
        if self.settings.make_session is None:
            self.on_secured()
        else:
            self.session = self.settings.make_session()
            self.start_session()
        return self.update_interest()

    cdef int on_secured(self) except -1:
        """A client may begin the opening handshake now; a server waits for it."""
        try:
            if self.settings.role is CLIENT:
                self.on_connected()
        except Exception:
            self.on_handler_error()
        return 0

    cdef int on_insecure(self, object error) except -1:
        """TLS failed. A server stays for a moment, so that the peer sees the alert."""
        if self.phase != OPENING:
            return self.abort()
        if self.settings.role is CLIENT:
            return self.fail_opening(TlsFailed(error))
        self.session = None
        self.refuse(NO_TLS if error.reason == "HTTP_REQUEST" else b"")
        try:
            self.on_failed(TlsFailed(error))
        except Exception:
            self.on_handler_error()
        return self.settle()

    cdef int fail_opening(self, object error) except -1:
        if self.fd >= 0:
            self.settings.counters.failed += 1
        self.close_socket()
        try:
            return self.on_failed(error)
        except Exception:
            return self.on_handler_error()

    cdef int on_opening_deadline(self) except -1:
        seconds = self.settings.limits.opening_seconds
        return self.fail_opening(
            ConnectFailed(f"the opening handshake took longer than {seconds} s")
        )

    cdef int on_opening_end(self, int error) except -1:
        if error:
            return self.fail_opening(ConnectFailed(error, os.strerror(error)))
        if self.session is not None and not (self.session.established or self.session.preface):
            return self.fail_opening(ConnectFailed("the peer left during the TLS handshake"))
        if self.opening is None:
            return self.fail_opening(ConnectFailed("the peer left before it sent a request"))
        self.opening.receive_eof(self)
        if self.fd < 0:
            return 0
        return self.fail_opening(ConnectFailed("the peer left during the opening handshake"))

    cdef int on_connected(self) except -1:
        self.opening = self.settings.opener()
        self.opening.start(self)
        return 0

    cdef int on_opening(self, const uint8_t *data, size_t size) except -1:
        cdef object left
        if self.opening is None:
            self.opening = self.settings.opener()
        if self.session is not None and self.session.preface:
            return self.take_preface(data, size)
        left = PyBytes_FromStringAndSize(<char *>data, size)
        while left is not None and self.opening is not None:
            if self.phase == KEPT:
                self.phase = OPENING
                self.loop.selector.set_deadline(self, self.settings.opening_seconds)
            left = self.opening.receive(self, left) or None
        return 0

    cdef int tell_answered(self, object response) except -1:
        told = getattr(self.opening, "on_answered", None)
        try:
            if told is not None:
                told(response)
        except Exception:
            self.on_handler_error()
        return 0

    cdef int take_preface(self, const uint8_t *data, size_t size) except -1:
        """Show the opening what comes before TLS; what is not of it stays in the socket."""
        rest = self.opening.receive_preface(self, PyBytes_FromStringAndSize(<char *>data, size))
        cdef size_t left = 0 if rest is None else len(rest)
        self.settings.counters.bytes_received -= left  # they will be received once more
        if self.fd < 0:
            return 0
        self.session.preface = rest is None
        return self.take_off(size - left)

    cdef int on_failed(self, object error) except -1:
        if self.settings.failed_callback is not None:
            self.settings.failed_callback(self, error)
        return 0

    cdef int on_handler_error(self) except -1:
        return 0

    cdef int fail_open(self) except -1:
        return 0

    cdef int abort(self) except -1:
        return 0

    cdef int settle(self) except -1:
        return 0
