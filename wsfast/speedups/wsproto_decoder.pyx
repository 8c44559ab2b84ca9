# cython: language_level=3, freethreading_compatible=True
# (one thread at a time per connection, as in wsproto)
"""wsproto's FrameDecoder.process_buffer: one frame, or what has arrived of it (RFC 6455 5.2).

A frame that has arrived whole leaves nothing behind, so nothing is stored for it. Of a data frame
that has not, wsproto hands out what is there; where it stands is kept in the decoder's own
attributes (`header`, `masker`, `payload_consumed` ...), exactly as the library keeps it, so that
its code can go on with the next read, and ours with what its code has begun.

Three kinds of frames are not taken from here:
 - whatever breaks a rule, and what was cut inside of its header: the original sees it untouched;
 - frames of a decoder with extensions, but whole ones through the library's own: hooks are called
   in the order and with the arguments of the original, and see the decoder in the same state;
 - decoders with other methods than the library's: they are the original's altogether.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

from wsfast.frame cimport HEADER_INCOMPLETE, FrameHeader, parse_header
from wsfast.mask cimport mask_copy, rotate_key
from wsfast.speedups.wsproto_buffer cimport buffer_of
from wsfast.speedups.wsproto_deflate cimport completed, inflated, judge_header
from wsfast.speedups.wsproto_mask cimport load_key, move_on
from wsfast.speedups.wsproto_names cimport named, new_frame
from wsfast.utf8 cimport unmask_ascii

from wsfast.speedups.methods import stand_in

cdef extern from "Python.h":
    object PyByteArray_FromStringAndSize(const char *data, Py_ssize_t size)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)

__all__ = ["make_process_buffer"]

cdef enum:
    KNOWN_OPCODES = 0x0707        # one bit for each
    CONTROL = 8                   # a bit of every control frame's opcode
    MAX_CONTROL = 125
    RSV1 = 4


cdef inline int read_header(StreamBuffer buffer, FrameHeader *header, Py_ssize_t *size) except -9:
    """As parse_header(), over all that is buffered if that makes a difference."""
    cdef const uint8_t *data = buffer.peek(size)
    cdef int used = parse_header(data, <size_t>size[0], header)
    if buffer.waiting and (
        used == HEADER_INCOMPLETE
        or (used > 0 and header.payload_length > <size_t>(size[0] - used))
    ):
        buffer.join()
        data = buffer.peek(size)
        used = parse_header(data, <size_t>size[0], header)
    return used


cdef inline bint is_valid(FrameHeader *header, bint from_client) noexcept:
    """Whether a whole header breaks no rule that holds without extensions, RSV left aside."""
    if header.opcode & CONTROL and (not header.fin or header.payload_length > MAX_CONTROL):
        return False
    return KNOWN_OPCODES >> header.opcode & 1 and header.masked == from_client


cdef int next_part(Names names, dict held, StreamBuffer buffer, Part *part) except -1:
    cdef object header = held["header"]
    cdef object extensions = held["extensions"]
    cdef dict deflate = None
    if buffer.bytes_used:
        return OTHER
    if extensions:
        deflate = only_deflate(names, extensions)
        if header is not None or deflate is None:
            return OTHER
    if header is None:
        return first_part(names, held, buffer, deflate, part)
    return later_part(names, held, buffer, header, part)


cdef dict only_deflate(Names names, object extensions):
    """What the PerMessageDeflate holds that is the only extension; None if it is not."""
    if type(extensions) is not list or len(<list>extensions) != 1:
        return None
    return names.deflate.attributes((<list>extensions)[0])


cdef int first_part(
    Names names, dict held, StreamBuffer buffer, dict deflate, Part *part
) except -1:
    cdef FrameHeader header
    cdef Py_ssize_t size
    cdef int used = read_header(buffer, &header, &size)
    if size == 0:
        return NOTHING
    if used <= 0 or not is_valid(&header, not held["client"]):
        return OTHER
    part.opcode = header.opcode
    part.fin = header.fin
    part.masked = header.masked
    part.key = header.masking_key
    part.finished = header.payload_length <= <size_t>(size - used)
    part.inflate = deflate is not None
    part.compressed = False
    if header.rsv or part.inflate:
        part.compressed = header.rsv == RSV1
        if not part.inflate or not part.finished or (header.rsv and not part.compressed):
            return OTHER
        if not judge_header(
            names, deflate, held["client"], header.opcode, part.compressed
        ):
            return OTHER
    if part.finished:
        part.size = <Py_ssize_t>header.payload_length
    elif header.opcode & CONTROL or size == used:
        return OTHER
    else:
        part.size = size - used
        header.masking_key = rotate_key(header.masking_key, <size_t>part.size)
        begin_frame(names, held, &header, names.CONTINUATION, part.size)
    buffer.skip(used)
    return READY


cdef int begin_frame(
    Names names, dict held, FrameHeader *header, object effective, Py_ssize_t consumed
) except -1:
    """Leave in the decoder what the original leaves there after a header."""
    cdef object key
    held["header"] = named(
        names.Header,
        (
            header.fin != 0,
            names.rsv_bits[header.rsv],
            names.opcodes[header.opcode],
            header.payload_length,
            None,
        ),
    )
    if header.masked:
        key = PyByteArray_FromStringAndSize(<char *>&header.masking_key, 4)
        held["masker"] = names.frame_protocol["XorMaskerSimple"](key)
    else:
        held["masker"] = names.frame_protocol["XorMaskerNull"]()
    held["effective_opcode"] = effective
    held["payload_required"] = header.payload_length if header.opcode & CONTROL else 0
    held["payload_consumed"] = consumed
    return 0


cdef int later_part(
    Names names, dict held, StreamBuffer buffer, object header, Part *part
) except -1:
    """What has arrived of a frame whose header was read before."""
    cdef int found = measure_part(names, held, buffer, header, part)
    part.inflate = False
    if found == READY:
        end_part(names, held, part)
    return found


cdef int measure_part(
    Names names, dict held, StreamBuffer buffer, object header, Part *part
) except -1:
    """READY: the decoder counts the part as consumed, and its masker is moved on."""
    cdef Py_ssize_t size, remaining, consumed, length
    cdef object masker = held["masker"]
    if type(header) is not names.Header:
        return OTHER
    length = (<tuple>header)[3]
    consumed = held["payload_consumed"]
    remaining = length - consumed
    buffer.peek(&size)
    if buffer.waiting and size < remaining:
        buffer.join()
        buffer.peek(&size)
    part.size = min(size, remaining)
    if size < held["payload_required"] or (part.size == 0 and length > 0):
        return NOTHING
    part.masked = type(masker) is names.frame_protocol["XorMaskerSimple"]
    part.key = 0
    if part.masked:
        if not load_key(masker, &part.key):
            return OTHER
    elif type(masker) is not names.frame_protocol["XorMaskerNull"]:
        return OTHER
    part.opcode = held["effective_opcode"]
    part.fin = (<tuple>header)[0]
    part.finished = part.size == remaining
    held["payload_consumed"] = consumed + part.size
    if part.masked and part.size:
        move_on(masker, part.key, <size_t>part.size)
    return READY


cdef int end_part(Names names, dict held, Part *part) except -1:
    if part.finished:
        held["header"] = None
        held["effective_opcode"] = None
        held["masker"] = None
    else:
        held["effective_opcode"] = names.CONTINUATION
    return 0


cdef object take_payload(Names names, dict held, StreamBuffer buffer, Part *part):
    cdef dict deflate
    cdef object payload = take_raw(names, buffer, part)
    cdef object final
    if not part.inflate:
        return payload
    deflate = only_deflate(names, held["extensions"])
    payload = inflated(names, deflate, payload)
    if type(payload) is names.CloseReason:
        return refuse(names, held, part, payload)
    final = completed(names, deflate, held["client"], part.fin)
    if type(final) is names.CloseReason:
        return refuse(names, held, part, final)
    if final is not None:
        payload += final
    return payload


cdef object refuse(Names names, dict held, Part *part, object reason):
    """Raise for what cannot be inflated, and leave the decoder where the original does."""
    cdef FrameHeader header
    header.fin = part.fin
    header.rsv = RSV1 if part.compressed else 0
    header.opcode = <uint8_t>part.opcode
    header.masked = part.masked
    header.masking_key = rotate_key(part.key, <size_t>part.size)
    header.payload_length = <size_t>part.size
    begin_frame(names, held, &header, names.opcodes[part.opcode], part.size)
    raise names.ParseFailed("error in extension", reason)


cdef object take_raw(Names names, StreamBuffer buffer, Part *part):
    """The payload as it was sent, unmasked."""
    cdef Py_ssize_t size
    cdef const uint8_t *data = buffer.peek(&size)
    cdef object payload
    cdef uint8_t *target
    if names.loose and (part.size == 0 or not part.masked):
        payload = PyByteArray_FromStringAndSize(NULL, part.size)
        target = <uint8_t *>PyByteArray_AS_STRING(payload)
    else:
        payload = PyBytes_FromStringAndSize(NULL, part.size)
        target = <uint8_t *>PyBytes_AS_STRING(payload)
    mask_copy(target, data, <size_t>part.size, part.key)
    buffer.skip(part.size)
    return payload


cdef str take_ascii(StreamBuffer buffer, Part *part):
    cdef Py_ssize_t size
    cdef const uint8_t *data = buffer.peek(&size)
    cdef str text
    if part.inflate:
        return None
    if part.size == 0:
        return ""
    text = PyUnicode_New(part.size, 127)
    if not unmask_ascii(<uint8_t *>PyUnicode_DATA(text), data, <size_t>part.size, part.key):
        return None
    buffer.skip(part.size)
    return text


# --- extensions --------------------------------------------------------------------------------


cdef object other_frame(Names names, object decoder, dict held, StreamBuffer buffer):
    cdef object extensions = held["extensions"]
    cdef Part part
    cdef int found = READY
    if type(extensions) is not list or not extensions or buffer.bytes_used:
        return names.process_buffer(decoder)
    if held["header"] is None:
        found = begin_extended(names, decoder, held, buffer, <list>extensions)
    if found == READY:
        found = measure_part(names, held, buffer, held["header"], &part)
    if found == NOTHING:
        return None
    if found == OTHER:
        return names.process_buffer(decoder)
    opcode = held["effective_opcode"]
    payload = take_raw(names, buffer, &part)
    payload = through_hooks(names, decoder, <list>extensions, payload)
    if part.finished:
        payload = with_final(names, decoder, <list>extensions, payload, part.fin)
    end_part(names, held, &part)
    return new_frame(names, opcode, payload, part.finished, part.fin)


cdef int begin_extended(
    Names names, object decoder, dict held, StreamBuffer buffer, list extensions
) except -1:
    """Read a header and let the extensions judge it."""
    cdef FrameHeader header
    cdef Py_ssize_t size
    cdef int used = read_header(buffer, &header, &size)
    if size == 0:
        return NOTHING
    if used <= 0 or not is_valid(&header, not held["client"]):
        return OTHER
    buffer.bytes_used = used - 4 * header.masked
    opcode = names.opcodes[header.opcode]
    rsv = names.rsv_bits[header.rsv]
    claimed = [False, False, False]
    for extension in extensions:
        result = extension.frame_inbound_header(decoder, opcode, rsv, header.payload_length)
        if isinstance(result, names.CloseReason):
            raise names.ParseFailed("error in extension", result)
        for bit, claims in enumerate(result):
            if claims:
                claimed[bit] = True
    for found, expected in zip(rsv, claimed, strict=True):
        if found and not expected:
            raise names.ParseFailed("Reserved bit set unexpectedly")
    buffer.bytes_used = 0
    buffer.skip(used)
    begin_frame(names, held, &header, opcode, 0)
    return READY


cdef object through_hooks(Names names, object decoder, list extensions, object payload):
    for extension in extensions:
        result = extension.frame_inbound_payload_data(decoder, payload)
        if isinstance(result, names.CloseReason):
            raise names.ParseFailed("error in extension", result)
        payload = result if names.loose or type(result) is bytes else bytes(bytearray(result))
    return payload


cdef object with_final(Names names, object decoder, list extensions, object payload, bint fin):
    """The payload with what the extensions had kept back."""
    final = bytearray()
    for extension in extensions:
        result = extension.frame_inbound_complete(decoder, fin)
        if isinstance(result, names.CloseReason):
            raise names.ParseFailed("error in extension", result)
        if result is not None:
            final += result
    payload += final
    return payload


def make_process_buffer(original, Names names not None):
    """FrameDecoder.process_buffer, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def process_buffer(self):
        cdef dict held = names.decoder.attributes(self)
        cdef StreamBuffer buffer = None
        cdef Part part
        cdef int found
        if held is not None and names.frame_globals.kept():
            buffer = buffer_of(held, names.Buffer)
        if buffer is None:
            return original(self)
        found = next_part(names, held, buffer, &part)
        if found == NOTHING:
            return None
        if found == OTHER:
            return other_frame(names, self, held, buffer)
        opcode = names.opcodes[part.opcode]
        payload = take_payload(names, held, buffer, &part)
        return new_frame(names, opcode, payload, part.finished, part.fin)

    names.process_buffer = original
    return stand_in(process_buffer, original)
