# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False
# (pointers with sizes checked by hand; one thread at a time per connection, as in websockets; a
# Batch lives as long as one call)
"""websockets' Protocol: receive_data, send_text, send_binary and send_continuation.

Protocol.parse is a generator. It waits at one of two places: between two frames, in
StreamReader.at_eof(), or inside of one, in Frame.parse. Stepping it costs several generators per
frame, so `receive_data` leaves it where it waits, and takes every complete and valid frame of the
read without it: from the very bytes that were received, which never see the reader's buffer.

The generator gets what is left over: a frame that is cut, and everything that ends a connection
or breaks a rule. It reads that from the buffer as it always did, and so does whatever the library
does about it. What is raised for a frame that we took is thrown into the generator, at the place
where it waits: it handles that as if it had met it there.

So between two calls everything is as without us, the generator and the buffer included, and the
library's own code may go on with the next read at any time.
"""

from cpython.bytearray cimport PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact
from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport uint64_t

from wsfast.frame cimport parse_header
from wsfast.speedups.websockets_deflate cimport inflated, is_compressed, keeps_decoder
from wsfast.speedups.websockets_frames cimport (
    FrameReader,
    append,
    can_frame,
    framed,
    framed_text,
    is_valid,
    open_buffer,
    payload_of,
    read_limit,
)

from wsfast.speedups.methods import stand_in

__all__ = ["make_receive_data", "make_send_continuation", "make_send_message"]

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    bint PyGen_CheckExact(object thing)

cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    CONTROL = 8             # a bit of every control frame's opcode
    FIN = 0x80
    RSV1 = 4                # as FrameHeader.rsv has it


# --- where the generator waits -----------------------------------------------------------------


cdef object place_of(Names names, object parser):
    """at_eof() if Protocol.parse waits between two frames, a FrameReader if inside of one.

    Generators are told by the very string that is the function's name: to ask for their code
    raises an audit event.
    """
    cdef object inner
    while PyGen_CheckExact(parser):
        inner = parser.gi_yieldfrom
        if parser.__qualname__ is names.parse_name:
            if type(inner) is FrameReader:
                return inner
            if PyGen_CheckExact(inner) and inner.__qualname__ is names.at_eof_name:
                return inner
        parser = inner
    return None


cdef int feed(dict own, bytearray buffer, const uint8_t *data, Py_ssize_t size) except -1:
    """Have the generator read that."""
    if size:
        append(buffer, data, size)
        next(own["parser"])
    return 0


# --- the frames of one read --------------------------------------------------------------------


cdef class Batch:
    """Takes frames out of one read, for one Protocol."""

    cdef int take_all(self) except -1:
        cdef FrameHeader header
        cdef Py_ssize_t left
        cdef const uint8_t *start
        cdef int used
        while self.offset < self.size:
            start = self.data + self.offset
            left = self.size - self.offset
            used = parse_header(start, <size_t>left, &header)
            if used <= 0 or header.payload_length > <uint64_t>(left - used):
                break
            if not self.is_ours(&header):
                break
            self.offset += used + <Py_ssize_t>header.payload_length
            self.take(start + used, &header)
        return 0

    cdef bint is_ours(self, FrameHeader *header) except -1:
        if not is_valid(self.names, header, self.mask) or header.opcode == CLOSE:
            return False
        if <Py_ssize_t>header.payload_length > self.limit():
            return False
        if header.opcode & CONTROL:
            return header.rsv == 0
        if (header.opcode == CONTINUATION) != (self.limits.received >= 0):
            return False
        return header.rsv == 0 or (
            header.rsv == RSV1 and header.opcode != CONTINUATION and self.extension is not None
        )

    cdef Py_ssize_t limit(self) noexcept:
        cdef Py_ssize_t left = self.limits.message
        if left != PY_SSIZE_T_MAX and self.limits.received > 0:
            left -= self.limits.received
        return min(left, self.limits.fragment)

    cdef int take(self, const uint8_t *data, FrameHeader *header) except -1:
        cdef object opcode = self.names.opcodes[header.opcode]
        cdef object payload = self.payload(data, header)
        cdef object frame = self.names.Frame(opcode, payload, True if header.fin else False)
        if header.opcode == PING:
            self.protocol.recv_frame(frame)
            self.events = self.own["events"]
            return 0
        if not header.opcode & CONTROL:
            self.count(header, payload)
        self.events.append(frame)
        return 0

    cdef object payload(self, const uint8_t *data, FrameHeader *header):
        cdef Py_ssize_t limit
        if self.extension is None or header.opcode & CONTROL:
            return payload_of(data, header)
        if not is_compressed(self.extension, header):
            return payload_of(data, header)
        limit = self.limit()
        return inflated(
            self.names, self.extension, data, header, None if limit == PY_SSIZE_T_MAX else limit
        )

    cdef int count(self, FrameHeader *header, object payload) except -1:
        if header.fin and header.opcode != CONTINUATION:
            return 0
        if header.fin:
            self.limits.received = -1
            setattr(self.protocol, self.names.current_size, None)
            return 0
        self.limits.received = max(0, self.limits.received) + len(payload)
        setattr(self.protocol, self.names.current_size, self.limits.received)
        return 0


cdef bint read_limits(Names names, dict own, Limits *limits) except -1:
    """False if they are not what the library makes them."""
    cdef object received = own[names.current_size]
    limits.fragment = PY_SSIZE_T_MAX
    limits.received = -1
    if received is not None and (not PyLong_CheckExact(received) or received < 0):
        return False
    if received is not None:
        limits.received = received
    if not names.has_fragment_limit:
        return read_limit(own["max_size"], &limits.message)
    return read_limit(own["max_message_size"], &limits.message) and read_limit(
        own["max_fragment_size"], &limits.fragment
    )


cdef Batch open_batch(Names names, object protocol, dict own):
    """None if frames of this connection are the library's own business."""
    cdef Batch batch = Batch.__new__(Batch)
    cdef object events = own["events"]
    cdef bint mine
    batch.extension = names.extension_in(own["extensions"], &mine)
    if not mine or not PyList_CheckExact(events):
        return None
    if batch.extension is not None and not keeps_decoder(batch.extension):
        return None
    if not read_limits(names, own, &batch.limits):
        return None
    batch.names = names
    batch.protocol = protocol
    batch.own = own
    batch.events = <list>events
    batch.mask = own["side"] is names.SERVER
    return batch


cdef bint take_frames(
    Names names, object protocol, dict own, bytearray buffer, const uint8_t *data, Py_ssize_t size
) except -1:
    """Take a read that begins between two frames. False: nothing has been done."""
    cdef Batch batch = open_batch(names, protocol, own)
    cdef object failure = None
    if batch is None:
        return False
    batch.data = data
    batch.size = size
    try:
        batch.take_all()
    except BaseException as error:
        failure = error
    if failure is None:
        feed(own, buffer, data + batch.offset, size - batch.offset)
    else:
        append(buffer, data + batch.offset, size - batch.offset)
        own["parser"].throw(failure)
    return True


cdef bint receive(Names names, object protocol, bytes data) except -1:
    """False, and nothing has been done, if this read is the library's own business."""
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef dict own = names.receiving.attributes(protocol)
    cdef bytearray buffer
    cdef object place
    if own is None or own["debug"] is not False:
        return False
    buffer = open_buffer(names, own["reader"])
    if buffer is None:
        return False
    place = place_of(names, own["parser"])
    if place is None:
        return False
    if type(place) is FrameReader:
        return receive_rest(names, protocol, own, buffer, <FrameReader>place, data)
    if PyByteArray_GET_SIZE(buffer) or not names.can_parse() or not names.protocol.kept():
        return False
    return take_frames(names, protocol, own, buffer, start, size)


cdef bint receive_rest(
    Names names, object protocol, dict own, bytearray buffer, FrameReader reader, bytes data
) except -1:
    """Take a read that begins inside of a frame; as receive()."""
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t missing = reader.missing(buffer)
    cdef object place
    if missing <= 0:
        return False
    if missing > size:
        append(buffer, start, size)
        return True
    if not names.can_parse() or not names.protocol.kept():
        return False
    append(buffer, start, missing)
    next(own["parser"])
    start += missing
    size -= missing
    place = place_of(names, own["parser"])
    if (
        place is None
        or type(place) is FrameReader
        or PyByteArray_GET_SIZE(buffer)
        or not take_frames(names, protocol, own, buffer, start, size)
    ):
        feed(own, buffer, start, size)
    return True


def make_receive_data(original, Names names not None):
    """Protocol.receive_data, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def receive_data(self, data):
        if not PyBytes_CheckExact(data) or not receive(names, self, <bytes>data):
            original(self, data)

    return stand_in(receive_data, original)


# --- the frames of messages to send ------------------------------------------------------------


cdef bint send(Names names, object protocol, int opcode, object data, object fin) except -1:
    """False, and nothing has been done, if this frame is the library's own business."""
    cdef dict own = names.sending.attributes(protocol)
    cdef object extension
    cdef bint mine
    if own is None or own["debug"] is not False or own["_state"] is not names.OPEN:
        return False
    if fin is not True and fin is not False:
        return False
    if own["expect_continuation_frame"] is not (True if opcode == CONTINUATION else False):
        return False
    if not names.can_build() or not names.protocol.kept():
        return False
    extension = names.extension_in(own["extensions"], &mine)
    if not mine or not can_frame(data, extension) or not PyList_CheckExact(own["writes"]):
        return False
    if fin is False or opcode == CONTINUATION:
        protocol.expect_continuation_frame = not fin
    (<list>own["writes"]).append(
        framed(
            names,
            <uint8_t>(opcode | (FIN if fin else 0)),
            data,
            own["side"] is names.CLIENT,
            extension,
        )
    )
    return True


cdef bytes frame_of_message(Names names, object protocol, object message, object text):
    cdef dict own = names.messages.attributes(protocol)
    cdef object extension
    cdef bint mine, mask
    cdef uint8_t first_byte
    if own is None or own["debug"] is not False or own["_state"] is not names.OPEN:
        return None
    if own["expect_continuation_frame"] is not False or own["writes"]:
        return None
    if not names.can_build() or not names.protocol.kept():
        return None
    extension = names.extension_in(own["extensions"], &mine)
    mask = own["side"] is names.CLIENT
    if not mine:
        return None
    if type(message) is str:
        first_byte = FIN | (BINARY if text is False else TEXT)
        return framed_text(names, first_byte, message, mask, extension)
    if not can_frame(message, extension):
        return None
    first_byte = FIN | (TEXT if text is True else BINARY)
    return framed(names, first_byte, message, mask, extension)


cdef class Failure:
    """An error that is met by looking at it."""

    def __bool__(self):
        raise self.error


cdef int leave_failure(object protocol, object error) except -1:
    cdef Failure failure = Failure.__new__(Failure)
    failure.error = error
    protocol.writes.append(failure)
    return 0


def make_send_message(original, Names names not None, int opcode):
    """Protocol.send_text or Protocol.send_binary, compiled.

    Args:
        original: the library's own.
        names: the library.
        opcode: 1 for text, 2 for binary.
    """

    def send_message(self, data, fin=True):
        if not send(names, self, opcode, data, fin):
            original(self, data, fin)

    return stand_in(send_message, original)


def make_send_continuation(original, Names names not None):
    """Protocol.send_continuation, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def send_continuation(self, data, fin):
        if not send(names, self, CONTINUATION, data, fin):
            original(self, data, fin)

    return stand_in(send_continuation, original)
