# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
# boundscheck, wraparound: LEADS is indexed by states that were checked. binding: a plain builtin
# is called 20 ns faster than Cython's function object; embedsignature gives its signature back.
"""The UTF-8 validator that autobahn, gevent-websocket, lomond, ws4py and wsaccel have in common.

Theirs is Bjoern Hoehrmann's automaton, one table lookup a byte. This one answers in the same
words with the kernel of `wsfast.utf8`: `validate(chunk)` returns whether the text so far is valid
or can still become so, whether it ends on a code point, an offset in the chunk and one in the
text: where it stopped. Both name the byte that makes the text invalid, not the start of its
sequence. After a reject every chunk that is not empty is refused at its first byte, until
`reset()`; an empty one is not: (True, False, 0, total).

Between two chunks the kernel keeps the bytes of an unfinished sequence, the automaton only a
number. The number is what is kept here, so that it can be read and set; any sequence that leads
to a state will do to continue from it.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE

from wsfast.utf8 cimport Utf8State, feed_utf8, unmask_utf8

__all__ = ["UTF8_ACCEPT", "UTF8_REJECT", "Utf8Validator"]


cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define WS_HAS_GIL 0
    #else
    #define WS_HAS_GIL 1
    #endif
    """
    const bint WS_HAS_GIL

cdef enum:
    NOGIL_SIZE = 256 * 1024  # releasing the GIL costs as much as validating some KiB
    ACCEPT = 0
    REJECT = 1

UTF8_ACCEPT = ACCEPT
UTF8_REJECT = REJECT

# The first byte of a sequence that the states from 2 on are in, with nothing behind it: one, two
# (any, of E0, of ED) or three continuation bytes (of F0, any, of F4) are missing.
cdef const uint8_t *LEADS = b"\x00\x00\xc2\xe1\xe0\xed\xf0\xf1\xf4"


cdef inline void load_state(Utf8State *kernel, int state) noexcept:
    kernel.pending = 0
    if state > REJECT:
        kernel.tail[0] = LEADS[state]
        kernel.pending = 1


cdef int state_of(const Utf8State *kernel) noexcept:
    cdef uint8_t lead = kernel.tail[0]
    if kernel.pending == 0:
        return ACCEPT
    if kernel.pending == 3:
        return 2
    if kernel.pending == 2:
        return 2 if lead < 0xF0 else 3
    if lead < 0xE0:
        return 2
    if lead < 0xF0:
        return 4 if lead == 0xE0 else 5 if lead == 0xED else 3
    return 6 if lead == 0xF0 else 8 if lead == 0xF4 else 7


cdef int lead_bits(uint8_t byte) noexcept:
    """What a byte that starts a sequence, or is not allowed to, gives to the code point."""
    if byte < 0x80:
        return byte
    if byte < 0xC0:  # their automaton shifts by the class of the byte, also where it rejects
        return byte & 0x7F if byte < 0x90 else 0 if byte < 0xA0 else byte & 0x01
    if byte < 0xE0:
        return byte & 0x3F if byte > 0xC1 else 0
    if byte < 0xF0:
        return byte & 0x0F
    return byte & 0x07 if byte < 0xF5 else 0


cdef inline bint ready(Utf8Validator validator, Utf8State *kernel, Py_ssize_t size) noexcept:
    """Whether there is something to validate; a state that is none counts as a reject."""
    cdef int state = validator.state
    if not 0 <= state <= 8:
        state = REJECT
    load_state(kernel, state)
    return state != REJECT and size != 0


cdef inline void keep(
    Utf8Validator validator, const Utf8State *kernel, Py_ssize_t valid, Py_ssize_t size
) noexcept:
    validator.i += valid
    validator.state = state_of(kernel) if valid == size else REJECT


cdef class Utf8Validator:
    """Validates a text that arrives in chunks, which may end inside of a sequence.

    Not to be used by two threads at once.
    """

    UTF8_ACCEPT = ACCEPT
    UTF8_REJECT = REJECT

    def __init__(self):
        self.start()

    cdef void start(self) noexcept:
        self.state = ACCEPT
        self.codepoint = 0
        self.i = 0

    cdef Py_ssize_t feed(self, const uint8_t *data, Py_ssize_t size) noexcept:
        cdef Utf8State kernel
        cdef Py_ssize_t valid
        if not ready(self, &kernel, size):
            return 0
        if size < NOGIL_SIZE:
            valid = <Py_ssize_t>feed_utf8(&kernel, data, <size_t>size)
        else:
            with nogil:
                valid = <Py_ssize_t>feed_utf8(&kernel, data, <size_t>size)
        keep(self, &kernel, valid, size)
        return valid

    cdef Py_ssize_t feed_masked(
        self, uint8_t *dst, const uint8_t *src, Py_ssize_t size, uint32_t key
    ) noexcept:
        cdef Utf8State kernel
        cdef Py_ssize_t valid
        cdef bint open = ready(self, &kernel, size)
        if size < NOGIL_SIZE:
            valid = <Py_ssize_t>unmask_utf8(&kernel, dst, src, <size_t>size, key)
        else:
            with nogil:
                valid = <Py_ssize_t>unmask_utf8(&kernel, dst, src, <size_t>size, key)
        if not open:
            return 0
        keep(self, &kernel, valid, size)
        return valid

    cdef tuple verdict(self, Py_ssize_t valid, Py_ssize_t size):
        if valid == size:
            return True, self.state == ACCEPT, size, self.i
        return False, False, valid, self.i

    def decode(self, uint8_t b):
        """Take one byte.

        Args:
            b: the byte, 0 to 255.

        Returns:
            int: the state: UTF8_ACCEPT if a code point is complete (see `codepoint`),
            UTF8_REJECT if the byte is invalid, something else if more bytes have to follow.

        Raises:
            OverflowError: b is no byte.
        """
        cdef Utf8State kernel
        if self.state == ACCEPT:
            self.codepoint = <uint32_t>lead_bits(b)
        else:
            self.codepoint = <uint32_t>(b & 0x3F) | self.codepoint << 6
        if not ready(self, &kernel, 1) or feed_utf8(&kernel, &b, 1) != 1:
            self.state = REJECT
        else:
            self.state = state_of(&kernel)
        return self.state

    def reset(self):
        """Forget the text, and start with the next one."""
        self.start()

    def validate(self, ba):
        """Continue the text with a chunk.

        Args:
            ba: bytes-like, or a sequence of numbers from 0 to 255.

        Returns:
            tuple: whether it is valid so far, whether it ends on a code point, where it ends or
            stopped to be valid in the chunk, and where in the whole text.

        Raises:
            TypeError: ba is neither.
        """
        cdef Py_buffer view
        cdef Py_ssize_t size
        if PyBytes_CheckExact(ba):
            size = PyBytes_GET_SIZE(ba)
            return self.verdict(self.feed(<const uint8_t *>PyBytes_AS_STRING(ba), size), size)
        if WS_HAS_GIL and PyByteArray_CheckExact(ba) and PyByteArray_GET_SIZE(ba) < NOGIL_SIZE:
            size = PyByteArray_GET_SIZE(ba)
            return self.verdict(self.feed(<const uint8_t *>PyByteArray_AS_STRING(ba), size), size)
        try:
            PyObject_GetBuffer(ba, &view, PyBUF_SIMPLE)
        except (BufferError, TypeError):  # strided, or a list; a string or a number stays wrong
            len(ba)
            return self.validate(bytes(ba))
        try:
            return self.verdict(self.feed(<const uint8_t *>view.buf, view.len), view.len)
        finally:
            PyBuffer_Release(&view)
