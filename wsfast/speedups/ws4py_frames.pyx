# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (indices stay below sizes that were compared; a stream belongs to one thread, as in ws4py)
"""ws4py's frames: `Frame.build`, `Message.single` and `fragment`, and `Stream.receiver`.

A receiver is a generator that says how many bytes it wants next and is sent bytes. The library's
runs another generator for each frame; this one is both in one. It asks for the same numbers, and
what it is sent beyond them ends up where it does there: ignored behind a frame that is whole, but
taken for a part of the payload where it comes with the last bytes of one that was not.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.long cimport PyLong_CheckExact
from libc.string cimport memcpy

from wsfast.frame cimport load_big_endian
from wsfast.speedups.building cimport frame_as_bytes
from wsfast.speedups.masker cimport load_key, masked_bytes

import os

from wsfast.speedups.methods import random_source, stand_in

__all__ = ["Frames"]


cdef enum:
    FIN_BIT = 0x80
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    LAST_OPCODE = 10
    LARGEST_CONTROL = 125

#: What a frame is, and what is done with it, in methods of Frame.
METHODS = ("__init__", "_cleanup", "_parsing", "build", "mask", "parser", "unmask")
FIELDS = ("body", "fin", "masking_key", "opcode", "payload_length", "rsv1", "rsv2", "rsv3")


cdef inline int number(object value, int most) except -2:
    """The value, if it is an int from 0 to the most; else -1."""
    if (PyLong_CheckExact(value) or type(value) is bool) and 0 <= value <= most:
        return value
    return -1


cdef inline bint is_opcode(int opcode) noexcept:
    return CONTINUATION <= opcode <= BINARY or CLOSE <= opcode <= LAST_OPCODE


cdef inline bytes given(object data):
    """What was sent to the receiver."""
    if PyBytes_CheckExact(data):
        return data
    return bytes(memoryview(data)) if data else b""


cdef bytes build_frame(dict own):
    """What Frame.build returns for a frame with nothing unusual; else None."""
    cdef object body = own.get("body"), key = own.get("masking_key")
    cdef int first = number(own.get("opcode"), LAST_OPCODE), each, place = FIN_BIT
    cdef uint32_t loaded = 0
    if not is_opcode(first) or not PyBytes_CheckExact(body):
        return None
    for name in ("fin", "rsv1", "rsv2", "rsv3"):
        each = number(own.get(name), 1)
        if each < 0:
            return None
        first |= place * each
        place >>= 1
    if own.get("payload_length") != PyBytes_GET_SIZE(body):
        return None
    if key and (not load_key(key, &loaded) or len(key) != 4):
        return None
    return frame_as_bytes(
        <uint8_t>first,
        <const uint8_t *>PyBytes_AS_STRING(body),
        <size_t>PyBytes_GET_SIZE(body),
        bool(key),
        loaded,
    )


@cython.final
cdef class Frames:
    """One installation; makes the four replacements, which know each other."""

    def __cinit__(self):
        from ws4py import framing, messaging, streaming

        self._frame = framing.Frame
        self._module = streaming
        self._frames = Methods(framing.Frame, METHODS, FIELDS, -1)
        self._messaging = Globals(messaging, "Frame", "OPCODE_CONTINUATION", "os")
        self._streaming = Globals(streaming, "Frame", "unpack")
        self._keys = KeySource(os, "urandom")

    # --- building ------------------------------------------------------------------------------

    cdef bytes _built(self, object message, object opcode, uint8_t fin_bit, bint masked):
        cdef object data = message.data
        cdef int code = number(opcode, LAST_OPCODE)
        cdef uint32_t key = 0
        if not is_opcode(code) or not PyBytes_CheckExact(data):
            return None
        if not self._frames.kept(self._frame) or not self._messaging.kept():
            return None
        if masked:
            self._keys.take(&key)
        return frame_as_bytes(
            fin_bit | <uint8_t>code,
            <const uint8_t *>PyBytes_AS_STRING(data),
            <size_t>PyBytes_GET_SIZE(data),
            masked,
            key,
        )

    def make_build(self, original):
        """A replacement of `Frame.build`."""

        def build(self):
            cdef dict own = frames._frames.attributes(self)
            cdef bytes frame = None if own is None else build_frame(own)
            return original(self) if frame is None else frame

        cdef Frames frames = self
        return stand_in(build, original)

    def make_single(self, original):
        """A replacement of `Message.single`.

        Raises:
            RuntimeError: somebody has put something else in the place of os.urandom.
        """
        random_source()

        def single(self, mask=False):
            cdef bytes frame = frames._built(self, self.opcode, FIN_BIT, bool(mask))
            return original(self, mask) if frame is None else frame

        cdef Frames frames = self
        return stand_in(single, original)

    def make_fragment(self, original):
        """A replacement of `Message.fragment`; raises as make_single."""
        random_source()

        def fragment(self, first=False, last=False, mask=False):
            opcode = self.opcode if first is True else CONTINUATION
            cdef uint8_t fin_bit = FIN_BIT if last is True else 0
            cdef bytes frame = frames._built(self, opcode, fin_bit, bool(mask))
            return original(self, first, last, mask) if frame is None else frame

        cdef Frames frames = self
        return stand_in(fragment, original)

    # --- receiving -----------------------------------------------------------------------------

    cdef int _fail(self, object stream, int code, object reason) except -1:
        cdef object message = self._module.CloseControlMessage
        stream.errors.append(
            message(code=code) if reason is None else message(code=code, reason=reason)
        )
        return 0

    cdef object _unmasked(self, object stream, bytes key, bytes body):
        cdef uint32_t loaded = 0
        cdef object frame
        if not body:
            return body
        if not stream.expect_masking:
            if key is None:
                return body
            self._fail(stream, 1002, "Masked when not expected")
            return None
        if key is None:
            self._fail(stream, 1002, "Missing masking when expected")
            return None
        if self._frames.kept(self._frame):
            load_key(key, &loaded)
            return masked_bytes(body, loaded)
        frame = self._frame(masking_key=key)
        return frame.unmask(body)

    cdef int _take(
        self, object stream, Utf8Validator validator, uint8_t first, bytes key, bytes body,
        object length
    ) except -1:
        cdef object payload = self._unmasked(stream, key, body)
        cdef int opcode = first & 0x0F
        if payload is None:
            return 0
        if opcode <= BINARY:
            return self._data(stream, validator, first, payload)
        if opcode == CLOSE:
            return self._close(stream, validator, payload, length)
        if opcode == PING:
            stream.pings.append(self._module.PingControlMessage(payload))
        else:
            stream.pongs.append(self._module.PongControlMessage(payload))
        return 0

    cdef int _data(
        self, object stream, Utf8Validator validator, uint8_t first, object payload
    ) except -1:
        cdef bint fin = first & FIN_BIT
        cdef object message
        if first & 0x0F == CONTINUATION:
            message = stream.message
            if message is None:
                return self._fail(stream, 1002, "Message not started yet")
            message.extend(payload)
            message.completed = fin
        else:
            if stream.message and not stream.message.completed:
                told = "Received a new message before completing previous"
                return self._fail(stream, 1002, told)
            is_text = first & 0x0F == TEXT
            kind = self._module.TextMessage if is_text else self._module.BinaryMessage
            message = kind(payload)
            message.completed = fin
            stream.message = message
        if message.opcode == TEXT and payload:
            valid, complete, _, _ = validator.validate(payload)
            if not valid or (message.completed and not complete):
                return self._fail(stream, 1007, "Invalid UTF-8 bytes")
        return 0

    cdef int _close(
        self, object stream, Utf8Validator validator, object payload, object length
    ) except -1:
        cdef object message = self._module.CloseControlMessage
        if length == 0:
            stream.closing = message(code=1005)
            return 0
        if length == 1:
            stream.closing = message(code=1005, reason="Payload has invalid length")
            return 0
        code = payload[0] << 8 | payload[1]
        if code not in self._module.VALID_CLOSING_CODES and not 2999 < code < 5000:
            stream.closing = message(code=1005, reason=f"Invalid Closing Frame Code: {code}")
            return 0
        reason = bytes(payload[2:])
        valid, complete, _, _ = validator.validate(reason)
        if not valid or not complete:
            return self._fail(stream, 1007, "Invalid UTF-8 bytes")
        stream.closing = message(code=code, reason=reason)
        return 0

    def make_receiver(self, original):
        """A replacement of the generator `Stream.receiver`."""

        def receiver(self):
            kept = frames._frames.kept(frames._frame) and frames._streaming.kept()
            if kept and frames._module.Utf8Validator is Utf8Validator:
                return receive(frames, self)
            return original(self)

        cdef Frames frames = self
        return stand_in(receiver, original)


def receive(Frames frames, stream):
    """The receiver of a stream: yields how many bytes it wants, and is sent bytes."""
    cdef Utf8Validator validator = Utf8Validator()
    cdef bytes some, rest, key
    cdef uint8_t first, second
    cdef Py_ssize_t need
    cdef object length
    cdef bint running = True
    while running:
        if stream.message is not None and stream.message.completed:
            validator.start()
        try:
            some = b""
            while not some:
                some = given((yield 1))
            first = some[0]
            if first & 0x70 or not is_opcode(first & 0x0F) or first & 0x88 == 0x08:
                frames._fail(stream, 1002, None)
                continue
            some = some[1:]
            while not some:
                some = given((yield 1))
            second = some[0]
            rest = some[1:]
            if first & 0x08 and second & 0x7F > LARGEST_CONTROL:
                frames._fail(stream, 1002, "Frame was too large")
                continue
            length = second & 0x7F
            need = 2 if length == 126 else 8 if length == 127 else 0
            if need:
                some = rest
                while PyBytes_GET_SIZE(some) < need:
                    some += given((yield need - PyBytes_GET_SIZE(some)))
                rest = behind(some, need, rest)
                length = load_big_endian(<const uint8_t *>PyBytes_AS_STRING(some), <int>need)
                if length > 0x7FFFFFFFFFFFFFFF:
                    frames._fail(stream, 1002, "Frame was too large")
                    continue
            key = None
            if second & 0x80:
                some = rest
                while PyBytes_GET_SIZE(some) < 4:
                    some += given((yield 4 - PyBytes_GET_SIZE(some)))
                rest = behind(some, 4, rest)
                key = some[:4]
            if PyBytes_GET_SIZE(rest) > length:
                rest = rest[:length]
            while PyBytes_GET_SIZE(rest) < length:
                rest += given((yield length - PyBytes_GET_SIZE(rest)))
            frames._take(stream, validator, first, key, rest, length)
        except GeneratorExit:
            running = False
    stream._cleanup()


cdef inline bytes behind(bytes some, Py_ssize_t used, bytes before):
    """What was sent behind a field of the header; where nothing was, but the field came in two
    parts, the first of them once more: as theirs, which never asks for a part of a field."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(some)
    if size > used or PyBytes_GET_SIZE(before) == size:
        return some[used:]
    return before
