# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
# cython: boundscheck=False, wraparound=False
# (pointers with sizes checked by hand; one thread at a time per connection, as for a list)
"""Frames to messages: the receiving half of the protocol.

`receive_bytes` walks the frames of one read. A whole, unfragmented text or binary frame, which
is nearly every frame, goes to `on_message` as it lies in the read, still masked. Everything else
takes `receive_other`: control frames, fragments, and the frame that the end of the read cuts.
What remains between two reads is
 - `tail`: a cut header or a cut control frame, at most 139 bytes, parsed again when more arrives;
 - `assembly`: the payload so far of an unfinished message, unmasked and validated as it came.
Both are there only while they hold something, and grow with what has arrived, never with what a
header announces.

Rules by section: 5.1, 5.2, 5.4 and 5.5 in `refusal`; limits in `exceeds_limits`; 8.1 in
`take_part` and `end_frame`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_XDECREF
from libc.string cimport memcpy, memmove

from wsfast.frame cimport HEADER_INCOMPLETE, LENGTH_TOP_BIT_SET, parse_header
from wsfast.mask cimport mask_copy, rotate_key
from wsfast.utf8 cimport feed_utf8, unmask_utf8

from wsfast.errors import ExtensionFailed
from wsfast.rfc6455 import CloseCode

cdef extern from "Python.h":
    PyObject *PyBytes_NEW "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size)
    char *PyBytes_DATA "PyBytes_AS_STRING"(PyObject *block)
    Py_ssize_t PyBytes_ROOM "PyBytes_GET_SIZE"(PyObject *block)
    int _PyBytes_Resize(PyObject **block, Py_ssize_t size) except -1

__all__ = ["Receiver"]

cdef enum:
    ASSEMBLY_STEP = 256 * 1024    # an unfinished message holds what arrived plus at most this

cdef int PROTOCOL_ERROR = CloseCode.PROTOCOL_ERROR
cdef int INVALID_DATA = CloseCode.INVALID_FRAME_PAYLOAD_DATA
cdef int MESSAGE_TOO_BIG = CloseCode.MESSAGE_TOO_BIG


cdef class Receiver:
    """The parser that Connection extends; of no use by itself."""

    def __dealloc__(self):
        PyMem_Free(self.tail)
        Py_XDECREF(self.assembly)

    cdef int receive_bytes(self, const uint8_t *data, size_t size) except -1:
        cdef const uint8_t *end = data + size
        cdef FrameHeader header
        cdef int used
        while data < end and not self.close_received:
            if self.frame_remaining or self.tail_size:
                data += self.resume(data, end - data)
                continue
            used = parse_header(data, end - data, &header)
            if (
                used > 0
                and header.fin
                and not header.rsv
                and (header.opcode == TEXT or header.opcode == BINARY)
                and header.masked == self.is_server
                and not self.message_opcode
                and header.payload_length <= self.max_message_bytes
                and header.payload_length <= <size_t>(end - data - used)
            ):
                data += used
                self.on_message(header.opcode, data, header.payload_length, header.masking_key)
                data += header.payload_length
            else:
                data += self.receive_other(data, end - data, &header, used)
        return 0

    cdef Py_ssize_t receive_other(
        self, const uint8_t *data, size_t size, FrameHeader *header, int used
    ) except -1:
        """Any frame but a whole message, cut or not: returns how many bytes it took."""
        cdef uint8_t control[MAX_CONTROL]
        cdef str reason
        # In this order, and the limit only when the length is there: so that one stream fails
        # with one code and reason, wherever it is cut.
        if size >= 2:
            reason = self.refusal(header)
            if reason is not None:
                self.fail(PROTOCOL_ERROR, reason)
                return size
        if used < 0:
            rule = "has its top bit set" if used == LENGTH_TOP_BIT_SET else "is not minimal"
            self.fail(PROTOCOL_ERROR, f"payload length {rule} (RFC 6455 5.2)")
            return size
        if used > 0 and self.exceeds_limits(header):
            return size
        if used == HEADER_INCOMPLETE or (
            header.opcode >= CLOSE and header.payload_length > size - used
        ):
            self.keep_tail(data, size)
            return size
        if header.opcode >= CLOSE:
            mask_copy(control, data + used, <size_t>header.payload_length, header.masking_key)
            self.on_control(header.opcode, control, <size_t>header.payload_length)
            return used + <Py_ssize_t>header.payload_length
        self.begin_frame(header)
        size = min(size - used, <size_t>header.payload_length)
        self.take_part(data + used, size)
        return used + size

    cdef int keep_tail(self, const uint8_t *data, size_t size) except -1:
        if self.tail == NULL:
            self.tail = <uint8_t *>PyMem_Malloc(TAIL_BYTES)
            if self.tail == NULL:
                raise MemoryError(f"no memory for {TAIL_BYTES} bytes of a frame")
        memmove(self.tail, data, size)
        self.tail_size = <uint8_t>size
        return 0

    cdef Py_ssize_t resume(self, const uint8_t *data, size_t size) except -1:
        """Go on with what the last read cut: returns how many bytes it took."""
        cdef FrameHeader header
        cdef Py_ssize_t taken
        cdef size_t held = self.tail_size
        if not held:
            size = min(size, <size_t>self.frame_remaining)
            self.take_part(data, size)
            return size
        size = min(size, TAIL_BYTES - held)
        memcpy(self.tail + held, data, size)
        self.tail_size = 0
        used = parse_header(self.tail, held + size, &header)
        taken = self.receive_other(self.tail, held + size, &header, used)
        if not self.tail_size:
            PyMem_Free(self.tail)
            self.tail = NULL
        return taken - <Py_ssize_t>held

    cdef str refusal(self, FrameHeader *header):
        """The rule of sections 5.1, 5.2, 5.4 or 5.5 that a header breaks, or None."""
        if header.rsv and (
            header.rsv != RSV1
            or self.extension is None
            or not (header.opcode == TEXT or header.opcode == BINARY)
        ):
            return f"RSV bits {header.rsv:03b} were not negotiated (RFC 6455 5.2)"
        if header.masked != self.is_server:
            if self.is_server:
                return "a client must mask its frames (RFC 6455 5.1)"
            return "a server must not mask its frames (RFC 6455 5.1)"
        if header.opcode >= CLOSE:
            if header.opcode > PONG:
                return f"reserved opcode {header.opcode:#x} (RFC 6455 5.2)"
            if not header.fin:
                return "a control frame must not be fragmented (RFC 6455 5.5)"
            if header.payload_length > MAX_CONTROL:
                return "a control frame carries at most 125 bytes (RFC 6455 5.5)"
        elif header.opcode > BINARY:
            return f"reserved opcode {header.opcode:#x} (RFC 6455 5.2)"
        elif header.opcode == CONTINUATION and not self.message_opcode:
            return "a continuation without a message to continue (RFC 6455 5.4)"
        elif header.opcode != CONTINUATION and self.message_opcode:
            return "a new message inside of a fragmented one (RFC 6455 5.4)"
        return None

    cdef bint exceeds_limits(self, FrameHeader *header) except -1:
        """Fail with 1009 for a frame that leads past a limit, before any of its payload."""
        cdef bint encoded
        if header.opcode >= CLOSE:
            return False
        # What is encoded counts when it is decoded: it may be longer before.
        encoded = header.rsv or (header.opcode == CONTINUATION and self.message_encoded)
        if not encoded and header.payload_length > self.max_message_bytes - self.assembled:
            self.fail(MESSAGE_TOO_BIG, f"message exceeds {self.max_message_bytes} bytes")
            return True
        if self.max_fragments and self.fragments >= self.max_fragments:
            self.fail(MESSAGE_TOO_BIG, f"message exceeds {self.max_fragments} fragments")
            return True
        return False

    cdef void begin_frame(self, FrameHeader *header) noexcept:
        if header.opcode != CONTINUATION:
            self.message_opcode = header.opcode
            self.message_encoded = header.rsv != 0
        self.fragments += 1
        self.frame_fin = header.fin
        self.frame_key = header.masking_key
        self.frame_remaining = header.payload_length

    cdef int take_part(self, const uint8_t *data, size_t size) except -1:
        """Take payload of the frame under way; text fails at its first bad byte (8.1)."""
        cdef uint8_t *target
        if self.message_encoded:
            if size or (self.frame_fin and self.frame_remaining == 0):
                self.take_encoded(data, size)
        elif size:
            target = self.grow(size)
            if self.message_opcode == BINARY:
                mask_copy(target, data, size, self.frame_key)
            elif unmask_utf8(&self.utf8, target, data, size, self.frame_key) != size:
                return self.fail(INVALID_DATA, "text is not UTF-8 (RFC 6455 8.1)")
            self.assembled += size
        if self.close_received:
            return 0
        self.frame_key = rotate_key(self.frame_key, size)
        self.frame_remaining -= size
        if self.frame_remaining == 0:
            self.end_frame()
        return 0

    cdef int take_encoded(self, const uint8_t *data, size_t size) except -1:
        """Take payload through the extension; what comes out counts against the limit."""
        cdef bytes coded = PyBytes_FromStringAndSize(NULL, size)
        cdef bytes plain
        cdef const uint8_t *source
        mask_copy(<uint8_t *>PyBytes_AS_STRING(coded), data, size, self.frame_key)
        fin = bool(self.frame_fin and self.frame_remaining == size)
        room = self.max_message_bytes - self.assembled
        try:
            plain = self.extension.decode(coded, fin, room)
        except ExtensionFailed as error:
            return self.fail(error.close_code, error.reason)
        if <uint64_t>len(plain) > room:
            return self.fail(MESSAGE_TOO_BIG, f"message exceeds {self.max_message_bytes} bytes")
        if plain:
            source = <const uint8_t *>PyBytes_AS_STRING(plain)
            size = len(plain)
            if self.message_opcode == TEXT and feed_utf8(&self.utf8, source, size) != size:
                return self.fail(INVALID_DATA, "text is not UTF-8 (RFC 6455 8.1)")
            memcpy(self.grow(size), source, size)
            self.assembled += size
        return 0

    cdef uint8_t *grow(self, size_t size) except NULL:
        """Room for `size` more bytes of the message: never far beyond what has arrived."""
        cdef size_t needed = self.assembled + size
        cdef size_t room = 0 if self.assembly == NULL else <size_t>PyBytes_ROOM(self.assembly)
        cdef size_t spare
        if room < needed:
            spare = min(needed, <size_t>ASSEMBLY_STEP)
            if self.frame_fin and not self.message_encoded:
                spare = min(spare, <size_t>self.frame_remaining - size)
            needed += spare
            if self.assembly == NULL:
                self.assembly = PyBytes_NEW(NULL, needed)
                if self.assembly == NULL:
                    raise MemoryError(f"no memory for {needed} bytes of a message")
            else:
                _PyBytes_Resize(&self.assembly, needed)
        return <uint8_t *>PyBytes_DATA(self.assembly) + self.assembled

    cdef int end_frame(self) except -1:
        """The frame under way is whole: with FIN, so is its message."""
        cdef int opcode = self.message_opcode
        cdef bytes message = b""
        if not self.frame_fin:
            return 0
        if self.utf8.pending:
            return self.fail(INVALID_DATA, "text is not UTF-8 (RFC 6455 8.1)")
        if self.assembled:
            _PyBytes_Resize(&self.assembly, self.assembled)
            message = <bytes>self.assembly
        self.drop_message()
        return self.on_assembled(opcode, message)

    cdef void drop_message(self) noexcept:
        Py_XDECREF(self.assembly)
        self.assembly = NULL
        self.assembled = 0
        self.fragments = 0
        self.message_opcode = 0
        self.frame_remaining = 0
        self.utf8.pending = 0

    # --- for subclasses ---------------------------------------------------------------------

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        return 0

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        """By default like any message, for those who want pointers."""
        return self.on_message(
            opcode, <const uint8_t *>PyBytes_AS_STRING(payload), len(payload), 0
        )

    cdef int on_control(self, int opcode, const uint8_t *payload, size_t size) except -1:
        return 0

    cdef int fail(self, int close_code, str reason) except -1:
        self.close_received = True
        self.drop_message()
        return 0
