# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; one thread at a time per connection, as for a list)
"""The sans-I/O protocol of RFC 6455: bytes in, events out; messages in, bytes out. Both roles.

Receiving stands in wsfast.receiver. Here: what the user gets of it, the answers that the protocol
gives by itself (Pong, Close), sending, and the closing handshake.

Frames are written into `output()`. Our own Close is the last frame; nothing is written after it
(5.5.1). A Pong is written at once unless the peer does not read; then only the newest waits
(5.5.3).

Rules by section: 5.4 in `send_fragment`; 5.5 in `send_control`; 5.5.1 and 7.4 in `on_close_frame`
and `start_close`; 5.5.2 in `on_control`; 7.1.7 in `fail`.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.list cimport PyList_Append
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from wsfast.frame cimport (
    load_big_endian,
    next_masking_key,
    store_big_endian,
    write_header,
)
from wsfast.mask cimport mask_copy
from wsfast.receiver cimport BINARY, CLOSE, CONTINUATION, MAX_CONTROL, PING, PONG, TEXT
from wsfast.utf8 cimport feed_utf8, unmask_ascii, validate_utf8

from wsfast.errors import LocalProtocolError
from wsfast.events import Closed, Ping, Pong
from wsfast.rfc6455 import CloseCode, Role, State, is_sendable_close_code

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    bint PyUnicode_CheckExact(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

__all__ = ["Connection"]

cdef enum:
    FIN_BIT = 0x80
    RSV1_BIT = 0x40
    PONG_BACKLOG = 16 * 1024      # with more than this unsent, only the newest pong is kept

cdef int PROTOCOL_ERROR = CloseCode.PROTOCOL_ERROR
cdef int NO_STATUS_RCVD = CloseCode.NO_STATUS_RCVD
cdef int ABNORMAL_CLOSURE = CloseCode.ABNORMAL_CLOSURE
cdef int INVALID_DATA = CloseCode.INVALID_FRAME_PAYLOAD_DATA


cdef object message_from(int opcode, const uint8_t *payload, size_t size, uint32_t key):
    cdef object message
    if opcode == TEXT:
        message = PyUnicode_New(size, 127)
        if unmask_ascii(<uint8_t *>PyUnicode_DATA(message), payload, size, key):
            return message
    message = PyBytes_FromStringAndSize(NULL, size)
    mask_copy(<uint8_t *>PyBytes_AS_STRING(message), payload, size, key)
    if opcode == BINARY:
        return message
    try:
        return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(message), size, NULL)
    except UnicodeDecodeError:
        return None


cdef class Connection(Receiver):
    """One WebSocket connection after its opening handshake, without any I/O.

    Args:
        role: `Role.CLIENT` (we mask, the peer must not) or `Role.SERVER` (the reverse; 5.1).
        max_message_bytes: the longest message accepted, after decoding by the extension, 1 MiB
            by default; a longer one fails the connection with 1009 as soon as its length is known.
        max_fragments: frames allowed in one message, None for no limit: held memory is bounded
            by max_message_bytes either way.
        extension: the negotiated extension, or None. It has `accepts(opcode, size) -> bool`,
            `encode(data, fin) -> bytes` and `decode(data, fin, max_bytes) -> bytes`; messages
            that it accepts travel with RSV1 (section 5.8). `decode` raises `ExtensionFailed`
            for what it cannot decode and for what would exceed max_bytes.
        masking_keys: a callable that returns four bytes, for tests; None takes keys from the
            operating system's generator (sections 5.3 and 10.3).

    Attributes:
        close_sent: whether our Close is queued: nothing may follow it.
        close_received: whether no more is read: a Close came, the transport ended, or we failed.
        failed: whether we failed the connection (section 7.1.7).

    Raises:
        ValueError: the role is unknown or a limit out of range.
    """

    def __init__(
        self,
        role,
        *,
        max_message_bytes=1024 * 1024,
        max_fragments=None,
        extension=None,
        masking_keys=None,
    ):
        if not 0 < max_message_bytes < 1 << 62:
            raise ValueError(f"max_message_bytes is {max_message_bytes}, not in 1..2**62-1")
        if max_fragments is not None and not 0 < max_fragments < 1 << 62:
            raise ValueError(f"max_fragments is {max_fragments}, not in 1..2**62-1")
        self.is_server = Role(role) is Role.SERVER
        self.max_message_bytes = max_message_bytes
        self.max_fragments = max_fragments or 0
        self.extension = extension
        self.masking_keys = masking_keys

    # --- for Python ------------------------------------------------------------------------

    @property
    def role(self):
        """`Role.SERVER` or `Role.CLIENT`."""
        return Role.SERVER if self.is_server else Role.CLIENT

    @property
    def state(self):
        """`State.OPEN`, `CLOSING` (a Close went one way) or `CLOSED` (both ways, or the end)."""
        if self.finished:
            return State.CLOSED
        return State.CLOSING if self.close_sent else State.OPEN

    def receive(self, data):
        """Take bytes of the peer.

        Args:
            data: bytes-like, contiguous, of any length and cut anywhere; it is not kept.

        Returns:
            list of events in wire order: a str is a text message, bytes a binary one, and
            `Ping`, `Pong`, `Closed`. Bytes after the end of the connection are ignored. What
            the peer does wrong comes as `Closed`, never as an exception.

        Raises:
            TypeError, BufferError: data is not bytes-like, or not contiguous.
            MemoryError, or what a broken extension raises: nothing more is read after that.
        """
        cdef Py_buffer view
        cdef list events = []
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        self.events = events
        try:
            self.receive_bytes(<const uint8_t *>view.buf, view.len)
        except BaseException:
            # The rest of the data is lost: never go on in the middle of a frame.
            Receiver.fail(self, ABNORMAL_CLOSURE, "")
            raise
        finally:
            self.events = None
            PyBuffer_Release(&view)
        return events

    def receive_eof(self):
        """The transport ended: returns [Closed(1006, "")] unless `Closed` came before, else []."""
        cdef list events = []
        self.events = events
        self.receive_end()
        self.events = None
        return events

    def data_to_send(self):
        """Take the bytes that are to be sent to the peer, in order; b"" if there are none."""
        cdef bytes data = b""
        if self.outgoing is not None:
            data = self.outgoing.take()
        if self.pong is not None:
            self.write_pong()
            data += self.outgoing.take()
        self.outgoing = None
        return data

    def send(self, message):
        """Queue a whole message: a str as text, a bytes-like object as binary.

        Raises:
            LocalProtocolError: a Close was sent, or a fragmented message is unfinished.
            UnicodeEncodeError: the str holds surrogates, which UTF-8 cannot say.
            TypeError: the message is neither.
        """
        self.send_message(message)

    def send_text(self, data, *, fin=True):
        """Queue a text message, or with fin=False its first fragment.

        Args:
            data: str, or bytes-like that holds UTF-8 (a fragment may end inside a character).
            fin: whether this is the whole message.

        Raises:
            LocalProtocolError: as `send`, and for bytes that are not UTF-8.
        """
        self.send_part(TEXT, data, fin)

    def send_binary(self, data, *, fin=True):
        """Queue a binary message (bytes-like), or with fin=False its first fragment.

        Raises:
            LocalProtocolError: as `send`.
            TypeError: data is not bytes-like.
        """
        self.send_part(BINARY, data, fin)

    def send_continuation(self, data, *, fin=False):
        """Queue the next fragment of the message begun with fin=False; fin=True ends it (5.4).

        Raises:
            LocalProtocolError: a Close was sent, no message was begun, or its text is not UTF-8.
            TypeError: data is not what the message began with.
        """
        self.send_part(CONTINUATION, data, fin)

    def send_ping(self, payload=b""):
        """Queue a Ping of at most 125 bytes (section 5.5.2).

        Raises:
            LocalProtocolError: the payload is longer, or a Close was sent.
            TypeError: the payload is not bytes-like.
        """
        cdef bytes data = bytes(memoryview(payload))
        self.send_control(PING, <const uint8_t *>PyBytes_AS_STRING(data), len(data))

    def send_pong(self, payload=b""):
        """Queue an unsolicited Pong of at most 125 bytes (section 5.5.3); raises as send_ping."""
        cdef bytes data = bytes(memoryview(payload))
        self.send_control(PONG, <const uint8_t *>PyBytes_AS_STRING(data), len(data))

    def send_close(self, close_code=1000, str close_reason not None=""):
        """Start the closing handshake; nothing can be sent after it. A second call does nothing.

        Args:
            close_code: 1000-1003, 1007-1014 or 3000-4999 (section 7.4).
            close_reason: str of at most 123 bytes in UTF-8.

        Raises:
            LocalProtocolError: code or reason must not be sent.
        """
        if not is_sendable_close_code(close_code):
            raise LocalProtocolError(f"close code {close_code} must not be sent (RFC 6455 7.4)")
        self.start_close(close_code, close_reason)

    # --- what arrived; subclasses override ---------------------------------------------------

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        cdef object message = message_from(opcode, payload, size, key)
        if message is None:
            return self.fail(INVALID_DATA, "text is not UTF-8 (RFC 6455 8.1)")
        self.events.append(message)
        return 0

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        return PyList_Append(self.events, payload if opcode == BINARY else payload.decode())

    cdef int on_ping(self, bytes payload) except -1:
        return PyList_Append(self.events, Ping(payload))

    cdef int on_pong(self, bytes payload) except -1:
        return PyList_Append(self.events, Pong(payload))

    cdef int on_close(self, int close_code, str reason) except -1:
        return PyList_Append(self.events, Closed(close_code, reason))

    # --- answers ---------------------------------------------------------------------------

    cdef int on_control(self, int opcode, const uint8_t *payload, size_t size) except -1:
        if opcode == CLOSE:
            return self.on_close_frame(payload, size)
        cdef bytes data = PyBytes_FromStringAndSize(<char *>payload, size)
        if opcode == PONG:
            return self.on_pong(data)
        if not self.close_sent:
            self.pong = data
            if not self.output_is_full():
                self.write_pong()
        return self.on_ping(data)

    cdef int on_close_frame(self, const uint8_t *payload, size_t size) except -1:
        """Section 5.5.1: check the peer's Close, answer it with its own code (7.1.5, 7.1.6)."""
        cdef int close_code = NO_STATUS_RCVD
        cdef int complete = 1
        cdef str reason = ""
        if size == 1:
            return self.fail(PROTOCOL_ERROR, "a Close of one byte (RFC 6455 5.5.1)")
        if size:
            close_code = <int>load_big_endian(payload, 2)
            if not is_sendable_close_code(close_code):
                return self.fail(PROTOCOL_ERROR, f"close code {close_code} (RFC 6455 7.4)")
            if validate_utf8(payload + 2, size - 2, &complete) != size - 2 or not complete:
                return self.fail(INVALID_DATA, "close reason is not UTF-8 (RFC 6455 5.5.1)")
            reason = PyUnicode_DecodeUTF8(<char *>payload + 2, size - 2, NULL)
        if not self.close_sent:
            self.write_close(payload, min(size, <size_t>2))
        Receiver.fail(self, close_code, reason)
        return self.finish(close_code, reason)

    cdef int fail(self, int close_code, str reason) except -1:
        if not self.close_received:
            self.failed = True
            self.start_close(close_code, reason)
            Receiver.fail(self, close_code, reason)
            self.finish(close_code, reason)
        return 0

    cdef int receive_end(self) except -1:
        Receiver.fail(self, ABNORMAL_CLOSURE, "")
        return self.finish(ABNORMAL_CLOSURE, "")

    cdef int finish(self, int close_code, str reason) except -1:
        if not self.finished:
            self.finished = True
            self.pong = None
            self.on_close(close_code, reason)
        return 0

    # --- sending ---------------------------------------------------------------------------

    cdef Buffer output(self):
        if self.outgoing is None:
            self.outgoing = Buffer()
        return self.outgoing

    cdef bint output_is_full(self) noexcept:
        cdef Buffer out = self.outgoing
        return out is not None and out.end - out.start > PONG_BACKLOG

    cdef int write_frame(self, int first_byte, const uint8_t *payload, size_t size) except -1:
        cdef uint32_t key = 0
        if not self.is_server:
            self.take_key(&key)  # first: it may call Python, and the room below must not move
        cdef Buffer out = self.output()
        cdef uint8_t *target = out.reserve(size + 14)
        cdef int used = write_header(target, <uint8_t>first_byte, size, not self.is_server, key)
        mask_copy(target + used, payload, size, key)
        out.end += used + size
        return 0

    cdef int take_key(self, uint32_t *key) except -1:
        cdef bytes injected
        if self.masking_keys is None:
            return next_masking_key(key)
        injected = self.masking_keys()
        if len(injected) != 4:
            raise ValueError(f"masking key has {len(injected)} bytes, not 4 (RFC 6455 5.3)")
        memcpy(key, PyBytes_AS_STRING(injected), 4)
        return 0

    cdef int require_open(self) except -1:
        if self.close_sent or self.close_received:
            raise LocalProtocolError("the connection is closing, nothing follows (RFC 6455 5.5.1)")
        return 0

    cdef int send_message(self, object message) except -1:
        cdef bytes encoded
        if PyBytes_CheckExact(message):
            return self.send_payload(
                BINARY, <const uint8_t *>PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message)
            )
        if not PyUnicode_CheckExact(message):
            return self.send_part(TEXT if isinstance(message, str) else BINARY, message, True)
        if PyUnicode_IS_COMPACT_ASCII(message):
            return self.send_payload(
                TEXT, <const uint8_t *>PyUnicode_DATA(message), PyUnicode_GET_LENGTH(message)
            )
        encoded = PyUnicode_AsUTF8String(message)
        return self.send_payload(TEXT, <const uint8_t *>PyBytes_AS_STRING(encoded), len(encoded))

    cdef int send_payload(self, int opcode, const uint8_t *payload, size_t size) except -1:
        if self.sending_opcode or self.extension is not None:
            return self.send_fragment(opcode, payload, size, True)
        self.require_open()
        return self.write_frame(FIN_BIT | opcode, payload, size)

    cdef int send_part(self, int opcode, object data, bint fin) except -1:
        cdef int message_opcode = opcode or self.sending_opcode
        if isinstance(data, str):
            if message_opcode == BINARY:
                raise TypeError("a binary message takes a bytes-like object, not str")
            data = data.encode()
        return self.send_buffer(opcode, data, fin)

    cdef int send_buffer(self, int opcode, object data, bint fin) except -1:
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.send_fragment(opcode, <const uint8_t *>view.buf, view.len, fin)
        finally:
            PyBuffer_Release(&view)

    cdef int send_fragment(self, int opcode, const uint8_t *data, size_t size, bint fin) except -1:
        """Section 5.4: one message at a time, in order; its text is UTF-8 as a whole (5.6)."""
        cdef int message_opcode = opcode or self.sending_opcode
        cdef Utf8State text = self.sending_utf8
        self.require_open()
        if opcode == CONTINUATION and not self.sending_opcode:
            raise LocalProtocolError("no message to continue (RFC 6455 5.4)")
        if opcode != CONTINUATION and self.sending_opcode:
            raise LocalProtocolError("the message before is not finished (RFC 6455 5.4)")
        if message_opcode == TEXT:
            if feed_utf8(&text, data, size) != size or (fin and text.pending):
                raise LocalProtocolError("the text is not UTF-8 (RFC 6455 5.6)")
        if opcode != CONTINUATION:
            self.sending_encoded = (
                self.extension is not None and self.extension.accepts(opcode, size)
            )
        if self.sending_encoded:
            self.write_encoded(opcode, data, size, opcode != CONTINUATION, fin)
        else:
            self.write_frame((FIN_BIT if fin else 0) | opcode, data, size)
        self.sending_utf8 = text
        self.sending_opcode = 0 if fin else <uint8_t>message_opcode
        return 0

    cdef int write_encoded(
        self, int opcode, const uint8_t *data, size_t size, bint first, bint fin
    ) except -1:
        cdef bytes plain = PyBytes_FromStringAndSize(<char *>data, size)
        cdef bytes coded = self.extension.encode(plain, fin)
        self.require_open()  # that was somebody's code, which may have closed us
        cdef int first_byte = (FIN_BIT if fin else 0) | (RSV1_BIT if first else 0) | opcode
        return self.write_frame(first_byte, <const uint8_t *>PyBytes_AS_STRING(coded), len(coded))

    cdef int send_control(self, int opcode, const uint8_t *payload, size_t size) except -1:
        self.require_open()
        if size > MAX_CONTROL:
            raise LocalProtocolError(f"control payload of {size} bytes exceeds 125 (RFC 6455 5.5)")
        return self.write_frame(FIN_BIT | opcode, payload, size)

    cdef int write_pong(self) except -1:
        cdef bytes payload = self.pong
        if payload is not None and not self.close_sent:
            self.write_frame(
                FIN_BIT | PONG, <const uint8_t *>PyBytes_AS_STRING(payload), len(payload)
            )
        self.pong = None
        return 0

    cdef int start_close(self, int close_code, str reason) except -1:
        cdef uint8_t payload[MAX_CONTROL]
        cdef bytes encoded = reason.encode()
        cdef size_t size = len(encoded)
        if not is_sendable_close_code(close_code):
            raise LocalProtocolError(f"close code {close_code} must not be sent (RFC 6455 7.4)")
        if size > MAX_CONTROL - 2:
            raise LocalProtocolError(f"close reason of {size} bytes exceeds 123 (RFC 6455 5.5)")
        if self.close_sent or self.finished:
            return 0
        store_big_endian(payload, close_code, 2)
        memcpy(payload + 2, PyBytes_AS_STRING(encoded), size)
        return self.write_close(payload, 2 + size)

    cdef int write_close(self, const uint8_t *payload, size_t size) except -1:
        self.write_pong()
        self.write_frame(FIN_BIT | CLOSE, payload, size)
        self.close_sent = True
        return 0
