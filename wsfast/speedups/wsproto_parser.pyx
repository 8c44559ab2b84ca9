# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# (one thread at a time per connection, as in wsproto; generators are not pickled either)
"""wsproto's FrameProtocol, receiving: from reads to frames.

The library chains generators: `received_frames()` runs `_parse_more` to its next None. Here both
are iterators in C. They are as lazy as the generators, a frame is read when somebody asks for it,
because what is not asked for must not change the state, raise, or reach an extension's hook.

`FrameParser` takes the place of `_parse_more` when a FrameProtocol is made. One that was made
before keeps its generator, which calls the replaced methods of its decoders.
"""

cimport cython

from collections.abc import Generator

from wsfast.speedups.wsproto_buffer cimport buffer_of
from wsfast.speedups.wsproto_decoder cimport (
    NOTHING,
    OTHER,
    next_part,
    other_frame,
    take_ascii,
    take_payload,
)
from wsfast.speedups.wsproto_messages cimport decoded, is_idle
from wsfast.speedups.wsproto_names cimport new_frame

from wsfast.speedups.methods import stand_in

__all__ = [
    "FrameIterator",
    "FrameParser",
    "Lazy",
    "make_decoder_receive_bytes",
    "make_parse_more",
    "make_protocol_receive_bytes",
    "make_received_frames",
]

cdef enum:
    TEXT = 1
    CLOSE = 8
    CONTROL = 8       # a bit of every control frame's opcode
    BAD = -1

END = object()


cdef class Lazy:
    """What the iterators of this package have of a generator."""

    cdef object advance(self):
        return END

    def __iter__(self):
        return self

    def __next__(self):
        if self.done:
            raise StopIteration
        try:
            value = self.advance()
        except BaseException:
            self.done = True
            raise
        if value is END:
            self.done = True
            raise StopIteration
        return value

    def send(self, value, /):
        """As next(); the value goes nowhere."""
        return self.__next__()

    def throw(self, error, value=None, traceback=None, /):
        """Raise it, and be over."""
        self.done = True
        if value is None:
            value = error() if isinstance(error, type) else error
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        """Be over."""
        self.done = True


Generator.register(Lazy)


@cython.final
cdef class FrameParser(Lazy):
    """The frames of a FrameProtocol, and None after each read's last one."""

    cdef bint is_plain(self, Names names) except -1:
        cdef dict protocol = names.protocol.attributes(self.protocol)
        self.names = names
        if protocol is None or not names.frame_globals.kept():
            return False
        self.decoder = protocol["_frame_decoder"]
        self.held = names.decoder.attributes(self.decoder)
        self.messages = names.messages.attributes(protocol["_message_decoder"])
        if self.held is None or self.messages is None:
            return False
        self.buffer = buffer_of(self.held, names.Buffer)
        return self.buffer is not None

    cdef object advance(self):
        if not self.is_plain(self.names):
            return self.read_by_methods()
        return self.frame() if self.step() else None

    cdef bint step(self) except -1:
        if self.done:
            return False
        try:
            if not self.started:
                self.start()
            return self.read()
        except BaseException:
            self.done = True
            raise

    cdef int start(self) except -1:
        self.started = True
        self.protocol.extensions = [
            extension for extension in self.protocol.extensions if extension.enabled()
        ]
        return 0

    cdef bint read(self) except -1:
        cdef Part part
        cdef int found
        if self.buffer.is_empty():
            return False
        found = next_part(self.names, self.held, self.buffer, &part)
        if found == NOTHING:
            return False
        if found == OTHER:
            frame = other_frame(self.names, self.decoder, self.held, self.buffer)
            return self.take_frame(frame)
        return self.take_part(&part)

    cdef bint take_part(self, Part *part) except -1:
        cdef Names names = self.names
        cdef int message = part.opcode
        cdef bint finished = part.fin and part.finished
        cdef object raw = None
        cdef object payload = None
        if part.opcode & CONTROL:
            payload = raw = take_payload(names, self.held, self.buffer, part)
            if part.opcode == CLOSE:
                message = BAD
        else:
            if part.opcode == TEXT and finished and is_idle(self.messages):
                payload = take_ascii(self.buffer, part)
            if payload is None:
                raw = take_payload(names, self.held, self.buffer, part)
                payload = decoded(names, self.messages, part.opcode, raw, finished, &message)
        if message == BAD:
            opcode = names.opcodes[part.opcode]
            return self.take_frame(new_frame(names, opcode, raw, part.finished, part.fin))
        self.opcode = message
        self.payload = payload
        self.frame_finished = part.finished
        self.message_finished = finished
        return True

    cdef bint take_frame(self, object frame) except -1:
        if frame is None:
            return False
        frame = self.through_methods(frame)
        self.opcode, self.payload, self.frame_finished, self.message_finished = frame
        return True

    cdef object through_methods(self, object frame):
        if not frame.opcode.iscontrol():
            return self.protocol._message_decoder.process_frame(frame)
        if frame.opcode == self.names.CLOSE:
            frame = self.protocol._process_close(frame)
            self.done = True
        return frame

    cdef object claim(self):
        cdef object payload = self.payload
        self.payload = None
        return payload

    cdef object frame(self):
        return new_frame(
            self.names,
            self.names.opcodes[self.opcode],
            self.claim(),
            self.frame_finished,
            self.message_finished,
        )

    cdef object read_by_methods(self):
        if not self.started:
            self.start()
        frame = self.protocol._frame_decoder.process_buffer()
        return None if frame is None else self.through_methods(frame)


@cython.final
cdef class FrameIterator(Lazy):
    """The frames of what was received so far."""

    cdef object advance(self):
        cdef object found
        if self.parser is None and self.source is None:
            found = self.protocol._parse_more
            if type(found) is FrameParser and (<FrameParser>found).is_plain(self.names):
                self.parser = found
            else:
                self.source = iter(found)
        if self.parser is not None:
            return self.parser.frame() if self.parser.step() else END
        found = next(self.source, None)
        return END if found is None else found


def make_parse_more(original, Names names not None):
    """FrameProtocol._parse_more_gen, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def _parse_more_gen(self):
        cdef FrameParser parser = FrameParser.__new__(FrameParser)
        parser.protocol = self
        parser.names = names
        return parser

    return stand_in(_parse_more_gen, original)


def make_received_frames(original, Names names not None):
    """FrameProtocol.received_frames, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def received_frames(self):
        cdef FrameIterator frames = FrameIterator.__new__(FrameIterator)
        frames.protocol = self
        frames.names = names
        return frames

    return stand_in(received_frames, original)


def make_protocol_receive_bytes(original, Names names not None):
    """FrameProtocol.receive_bytes, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def receive_bytes(self, data):
        if not feed(names, self, data):
            original(self, data)

    return stand_in(receive_bytes, original)


cdef bint feed(Names names, object protocol, object data) except -1:
    cdef dict held = names.protocol.attributes(protocol)
    return held is not None and feed_decoder(names, held["_frame_decoder"], data)


cdef bint feed_decoder(Names names, object decoder, object data) except -1:
    cdef dict held = names.decoder.attributes(decoder)
    cdef StreamBuffer buffer
    if held is None:
        return False
    buffer = buffer_of(held, names.Buffer)
    if buffer is None:
        return False
    buffer.append(data)
    return True


def make_decoder_receive_bytes(original, Names names not None):
    """FrameDecoder.receive_bytes, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def receive_bytes(self, data):
        if not feed_decoder(names, self, data):
            original(self, data)

    return stand_in(receive_bytes, original)

