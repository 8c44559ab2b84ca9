# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (slices end inside of what they cut; a reader belongs to one loop, as in aiohttp)
"""aiohttp's pure-Python WebSocketReader: all whole frames of one read in one native pass.

What is read here is valid by the rules of the reader's own code. Control frames, every error,
frames that are not whole yet and a full queue are left to that code, frame by frame; so it finds
the state it would have left itself, and errors are its own. Fields that it sets in a frame's
header and reads in the same frame only are not kept up to date between frames.

What decides is looked up at every read: a reader or a queue with a method of its own, or another
`websocket_mask`, is served by the original.
"""

cimport cython
from cpython.bytearray cimport (
    PyByteArray_AS_STRING,
    PyByteArray_CheckExact,
    PyByteArray_FromStringAndSize,
    PyByteArray_GET_SIZE,
)
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.dict cimport PyDict_GetItem
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from wsfast.connection cimport message_from
from wsfast.frame cimport load_big_endian, parse_header
from wsfast.mask cimport mask_copy, rotate_key
from wsfast.utf8 cimport unmask_ascii

from wsfast.speedups.methods import stand_in

__all__ = ["make_feed_data"]


cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PY_SSIZE_T_MAX

cdef extern from *:
    """
    /* tuple.__new__(type, (fields,)): what the NamedTuple's own __new__ comes to */
    static inline PyObject *ws_new_tuple(PyObject *type, PyObject *arguments)
    {
        return PyTuple_Type.tp_new((PyTypeObject *)type, arguments, NULL);
    }
    """
    object ws_new_tuple(object type, tuple arguments)

cdef enum:
    READ_HEADER = 1
    READ_PAYLOAD_LENGTH = 2
    READ_PAYLOAD_MASK = 3
    READ_PAYLOAD = 4

cdef enum:
    NOT_SET = -1
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    RSV1 = 4

#: What the reader's own code calls these, in the order of the numbers above.
cdef tuple _STATES = (
    ("READ_HEADER", READ_HEADER),
    ("READ_PAYLOAD_LENGTH", READ_PAYLOAD_LENGTH),
    ("READ_PAYLOAD_MASK", READ_PAYLOAD_MASK),
    ("READ_PAYLOAD", READ_PAYLOAD),
    ("OP_CODE_NOT_SET", NOT_SET),
    ("COMPRESSED_NOT_SET", NOT_SET),
    ("COMPRESSED_FALSE", 0),
    ("COMPRESSED_TRUE", 1),
)

cdef tuple _READER_FIELDS = (
    "queue", "_state", "_tail", "_opcode", "_partial", "_frame_fin", "_compressed", "_compress",
    "_max_msg_size", "_decode_text", "_has_mask", "_frame_mask", "_frame_opcode",
    "_frame_payload_len", "_payload_bytes_to_read", "_payload_len_flag", "_payload_fragments",
    "_payload_buffer",
)
cdef tuple _QUEUE_FIELDS = (
    "_size", "_limit", "_protocol", "_waiter", "_put_buffer", "_stalled_reader"
)


cdef inline bint read_number(dict own, str name, int64_t *number) noexcept:
    """Whether there is an integer of that name, of 64 bits."""
    cdef int overflow = 0
    cdef void *value = <void *>PyDict_GetItem(own, name)
    if value == NULL or not PyLong_Check(<object>value):
        return False
    number[0] = PyLong_AsLongLongAndOverflow(<object>value, &overflow)
    return overflow == 0


cdef bint load(dict own, Between *state) except -1:
    """Whether the reader's fields are all there, and are what its own code puts there."""
    cdef int64_t frame_fin, compressed, opcode, compress, decode_text = 1
    cdef void *partial = <void *>PyDict_GetItem(own, "_partial")
    if partial == NULL or not PyByteArray_CheckExact(<object>partial):
        return False
    state.held = PyByteArray_GET_SIZE(<object>partial)
    if not (
        read_number(own, "_frame_fin", &frame_fin)
        and read_number(own, "_compressed", &compressed)
        and read_number(own, "_opcode", &opcode)
        and read_number(own, "_compress", &compress)
        and read_number(own, "_max_msg_size", &state.limit)
    ):
        return False
    if not read_number(own, "_decode_text", &decode_text) and "_decode_text" in own:
        return False
    state.frame_fin = frame_fin != 0
    state.compressed = <int>compressed
    state.opcode = <int>opcode
    state.compress = compress != 0
    state.decode_text = decode_text != 0
    return True


cdef object decoded(bytes content):
    """None if it is not UTF-8."""
    try:
        return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content), NULL)
    except UnicodeDecodeError:
        return None


cdef bytes joined(list pieces, Py_ssize_t size, uint32_t key):
    """The payload of that size from its pieces, the last of which may go beyond it."""
    cdef bytes piece, content = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(content)
    cdef Py_ssize_t used = 0, count
    for piece in pieces:
        count = min(PyBytes_GET_SIZE(piece), size - used)
        mask_copy(
            out + used, <const uint8_t *>PyBytes_AS_STRING(piece), <size_t>count,
            rotate_key(key, <size_t>used),
        )
        used += count
    return content


cdef object joined_text(list pieces, Py_ssize_t size, uint32_t key):
    """The same as text; None if it is not UTF-8."""
    cdef bytes piece
    cdef object text = PyUnicode_New(size, 127)
    cdef uint8_t *out = <uint8_t *>PyUnicode_DATA(text)
    cdef Py_ssize_t used = 0, count
    for piece in pieces:
        count = min(PyBytes_GET_SIZE(piece), size - used)
        if not unmask_ascii(
            out + used, <const uint8_t *>PyBytes_AS_STRING(piece), <size_t>count,
            rotate_key(key, <size_t>used),
        ):
            return decoded(joined(pieces, size, key))
        used += count
    return text


cdef uint32_t key_of(dict own) except? 0:
    """The masking key of the frame that is being read; 0 if it is not masked."""
    cdef uint32_t key = 0
    cdef bytes mask
    if own["_has_mask"]:
        mask = own["_frame_mask"]
        memcpy(&key, PyBytes_AS_STRING(mask), 4)
    return key


cdef Py_ssize_t missing(dict own, bytes data) except -2:
    """How many bytes the frame that is being read still lacks; -1 if its length is one of them."""
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef int64_t flag = own["_payload_len_flag"]
    cdef int form = 0 if flag < 126 else 2 if flag == 126 else 8
    cdef uint64_t length = <uint64_t>flag
    if own["_state"] == READ_PAYLOAD:
        return own["_payload_bytes_to_read"]
    if own["_state"] == READ_PAYLOAD_MASK:
        return <Py_ssize_t>own["_payload_bytes_to_read"] + 4
    if PyBytes_GET_SIZE(data) < form:
        return -1
    if form:
        length = load_big_endian(start, form)
    if length > <uint64_t>PyBytes_GET_SIZE(data):
        return -1
    return <Py_ssize_t>length + form + (4 if own["_has_mask"] else 0)


cdef inline bint begins(Between *state) noexcept:
    """Whether RSV1 of the next data frame says if its message is compressed."""
    return state.frame_fin or state.compressed == NOT_SET


cdef inline bint is_compressed(Between *state, FrameHeader *header) noexcept:
    return header.rsv != 0 if begins(state) else state.compressed != 0


cdef inline bint acceptable(Between *state, FrameHeader *header) noexcept:
    """Whether it is a data frame whose header the reader's own code lets pass."""
    if header.opcode > BINARY or (header.rsv and not (begins(state) and state.compress)):
        return False
    if header.rsv & ~RSV1 or header.payload_length > <uint64_t>PY_SSIZE_T_MAX:
        return False
    return not state.limit or <int64_t>header.payload_length < state.limit - state.held


cdef int enter(
    dict own, Between *state, FrameHeader *header, const uint8_t *payload
) except -1:
    """Leave in the reader what its own code would, before it handles a data frame."""
    cdef uint64_t size = header.payload_length
    own["_compressed"] = 1 if is_compressed(state, header) else 0
    own["_frame_fin"] = header.fin != 0
    own["_frame_opcode"] = header.opcode
    own["_has_mask"] = header.masked != 0
    own["_payload_len_flag"] = size if size < 126 else 126 if size < 65536 else 127
    own["_payload_bytes_to_read"] = 0
    own["_frame_payload_len"] = size
    own["_state"] = READ_PAYLOAD
    if header.masked:
        own["_frame_mask"] = PyBytes_FromStringAndSize(<const char *>payload - 4, 4)
    return 0


cdef Py_ssize_t begin(
    dict own, Between *state, FrameHeader *header, bytes data, Py_ssize_t at, int used
) except -1:
    """Keep the first bytes of a frame that is not whole: how many bytes of data are read."""
    cdef const uint8_t *payload = <const uint8_t *>PyBytes_AS_STRING(data) + at + used
    cdef Py_ssize_t here = PyBytes_GET_SIZE(data) - at - used
    if not here or not acceptable(state, header):
        return at
    enter(own, state, header, payload)
    own["_payload_bytes_to_read"] = <Py_ssize_t>header.payload_length - here
    own["_frame_payload_len"] = here
    own["_payload_fragments"].append(PyBytes_FromStringAndSize(<const char *>payload, here))
    return PyBytes_GET_SIZE(data)


cdef object content_of(FrameHeader *header, const uint8_t *payload):
    """The payload as the reader's own code hands it on: a bytearray if it was masked."""
    cdef Py_ssize_t size = <Py_ssize_t>header.payload_length
    if not header.masked:
        return PyBytes_FromStringAndSize(<const char *>payload, size)
    content = PyByteArray_FromStringAndSize(NULL, size)
    mask_copy(
        <uint8_t *>PyByteArray_AS_STRING(content), payload, <size_t>size, header.masking_key
    )
    return content


@cython.final
cdef class FrameReader:

    def __cinit__(self, original, module):
        self._original = original
        reader, queue = module.WebSocketReader, module.WebSocketDataQueue
        self._readers = Methods(reader, ("_handle_frame",), _READER_FIELDS, -1)
        self._queues = Methods(queue, ("feed_data", "_release_waiter"), _QUEUE_FIELDS, -1)
        self._globals = Globals(module, "websocket_mask", "WSMessage", "TUPLE_NEW")
        self._message = module.WSMessage
        self._undecoded = getattr(module, "WSMessageTextBytes", module.WSMessage)
        self._text = module.WS_MSG_TYPE_TEXT
        self._binary = module.WS_MSG_TYPE_BINARY
        self._overhead = getattr(module, "MSG_SIZE_OVERHEAD", 0)
        self._stalls = hasattr(module, "STALLED_READER_COLLECTED")
        wrong = [name for name, number in _STATES if getattr(module, name) != number]
        if wrong:
            raise ValueError(f"unexpected values of {', '.join(wrong)}")

    cdef object feed(self, object reader, object data):
        cdef dict own, queue
        cdef void *holder
        if PyBytes_CheckExact(data) and self._globals.kept():
            own = self._readers.attributes(reader)
            holder = NULL if own is None else <void *>PyDict_GetItem(own, "queue")
            if holder != NULL:
                queue = self._queues.attributes(<object>holder)
                if queue is not None:
                    return self._continue(reader, own, queue, data)
        return self._original(reader, data)

    cdef object _continue(self, object reader, dict own, dict queue, bytes data):
        cdef Py_ssize_t at = 0
        if self._stalls:
            queue["_stalled_reader"] = None
            if self._full(queue):
                return self._original(reader, data)
        tail = own["_tail"]
        if tail:
            data = tail + data
            own["_tail"] = b""
        if own["_state"] != READ_HEADER:
            at = self._complete(reader, own, queue, data)
            if at < 0:
                return None
        at = self._walk(reader, own, queue, data, at)
        if at < PyBytes_GET_SIZE(data):
            self._original(reader, data[at:] if at else data)
        return None

    cdef bint _full(self, dict queue) except -1:
        return queue["_size"] > queue["_limit"]

    cdef Py_ssize_t _complete(self, object reader, dict own, dict queue, bytes data) except -2:
        cdef Py_ssize_t need = missing(own, data)
        if not 0 < need <= PyBytes_GET_SIZE(data):
            self._original(reader, data)
            return -1
        if not self._join(own, own["queue"], data, need):
            self._original(reader, data[:need])
        return need

    cdef bint _join(self, dict own, object queue, bytes data, Py_ssize_t need) except -1:
        cdef Between state
        cdef Py_ssize_t size = <Py_ssize_t>own["_frame_payload_len"] + need
        cdef int opcode = own["_frame_opcode"]
        cdef list pieces = own["_payload_fragments"]
        if own["_state"] != READ_PAYLOAD or not pieces or own.get("_payload_buffer"):
            return False
        if not load(own, &state) or not 0 < opcode <= BINARY or (0 < state.limit <= size):
            return False
        if not state.frame_fin or state.compressed or state.opcode != NOT_SET or state.held:
            return False
        if opcode == TEXT and state.decode_text:
            content = joined_text([*pieces, data], size, key_of(own))
            if content is None:
                return False
        else:
            content = joined([*pieces, data], size, key_of(own))
        pieces.clear()
        own["_payload_bytes_to_read"] = 0
        self._deliver(queue, opcode, content, state.decode_text, size)
        own["_frame_payload_len"] = 0
        own["_state"] = READ_HEADER
        return True

    cdef Py_ssize_t _walk(
        self, object reader, dict own, dict queue, bytes data, Py_ssize_t at
    ) except -1:
        cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), end
        cdef Between state
        cdef FrameHeader header
        cdef int used, done
        if not load(own, &state):
            return at
        while at < size and not (self._stalls and self._full(queue)):
            used = parse_header(start + at, <size_t>(size - at), &header)
            if used <= 0:
                break
            if header.payload_length > <uint64_t>(size - at - used):
                return begin(own, &state, &header, data, at, used)
            end = at + used + <Py_ssize_t>header.payload_length
            done = self._frame(reader, own, &state, &header, start + at + used)
            if not done:
                self._original(reader, data[at:end])
            at = end
            if done != 1 and not load(own, &state):
                break
        return at

    cdef int _frame(
        self, object reader, dict own, Between *state, FrameHeader *header, const uint8_t *payload
    ) except -1:
        if not acceptable(state, header):
            return 0
        if (
            header.fin and header.opcode and not is_compressed(state, header)
            and begins(state) and state.opcode == NOT_SET and not state.held
        ):
            return self._plain(own, state, header, payload)
        enter(own, state, header, payload)
        content = content_of(header, payload)
        reader._handle_frame(own["_frame_fin"], header.opcode, content, own["_compressed"])
        own["_frame_payload_len"] = 0
        own["_state"] = READ_HEADER
        return 2

    cdef bint _plain(
        self, dict own, Between *state, FrameHeader *header, const uint8_t *payload
    ) except -1:
        cdef Py_ssize_t size = <Py_ssize_t>header.payload_length
        if header.opcode == TEXT and state.decode_text:
            content = message_from(TEXT, payload, size, header.masking_key)
            if content is None:
                return False
        else:
            content = message_from(BINARY, payload, size, header.masking_key)
        if not state.frame_fin:
            own["_frame_fin"] = True
            state.frame_fin = 1
        if state.compressed:
            own["_compressed"] = 0
            state.compressed = 0
        self._deliver(own["queue"], header.opcode, content, state.decode_text, size)
        return True

    cdef int _deliver(
        self, object queue, int opcode, object content, bint decoded, Py_ssize_t size
    ) except -1:
        cdef dict own = self._queues.attributes(queue)
        cdef type kind = self._message if decoded or opcode == BINARY else self._undecoded
        cdef object name = self._text if opcode == TEXT else self._binary
        message = ws_new_tuple(kind, ((name, content, ""),))
        total = own["_size"] + (size + self._overhead)
        own["_size"] = total
        own["_put_buffer"]((message, size))
        if own["_waiter"] is not None:
            queue._release_waiter()
        if total > own["_limit"]:
            protocol = own["_protocol"]
            if not protocol._reading_paused:
                protocol.pause_reading()
        return 0


def make_feed_data(original):
    """What takes the place of `WebSocketReader._feed_data` in `aiohttp._websocket.reader_py`.

    Args:
        original: that function.

    Returns:
        a function of the same name and parameters.

    Raises:
        ValueError: the module's constants are not those that the original was tested with.
    """
    from aiohttp._websocket import reader_py as module

    cdef FrameReader frames = FrameReader(original, module)

    def _feed_data(self, data):
        return frames.feed(self, data)

    return stand_in(_feed_data, original)
