# cython: language_level=3, freethreading_compatible=True
# (one thread at a time per connection, as in wsproto)
"""wsproto's MessageDecoder.process_frame: text is decoded, fragments follow their first frame.

A text that is one whole frame is decoded at once, without the codecs object that the library
makes for it. Of any other the codecs object is made and kept in the decoder as the library does,
with the bytes of a cut code point in its `buffer`; only its Python-level `decode` is not called.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t

from wsfast.speedups.wsproto_names cimport new_frame
from wsfast.utf8 cimport unmask_ascii

from wsfast.speedups.methods import stand_in

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    str PyUnicode_DecodeUTF8Stateful(
        const char *data, Py_ssize_t size, const char *errors, Py_ssize_t *consumed
    )

__all__ = ["make_process_frame"]

cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    BAD = -1
    ASCII_SIZE = 1024      # from here on looking for ASCII first pays, also where it is none


cdef bint is_idle(dict held) except -1:
    return held["opcode"] is None and held["decoder"] is None


cdef object decoded(
    Names names, dict held, int opcode, object payload, bint finished, int *message
):
    cdef object current = held["opcode"]
    cdef object utf8 = held["decoder"]
    message[0] = message_opcode(names, opcode, current)
    if message[0] == TEXT and (opcode == CONTINUATION) == (utf8 is not None):
        payload = decoded_text(names, held, utf8, payload, finished)
    elif message[0] != BINARY or utf8 is not None:
        payload = None
    if payload is None:
        message[0] = BAD
    elif finished and current is not None:
        held["opcode"] = None
        held["decoder"] = None
    elif not finished and current is None:
        held["opcode"] = names.opcodes[opcode]
    return payload


cdef int message_opcode(Names names, int opcode, object current) noexcept:
    if (opcode == CONTINUATION) != (current is not None):
        return BAD
    if opcode == TEXT or current is names.TEXT:
        return TEXT
    if opcode == BINARY or current is names.BINARY:
        return BINARY
    return BAD


cdef object decoded_text(
    Names names, dict held, object utf8, object payload, bint finished
):
    """The text so far; None, and nothing changed, if it is not UTF-8 or a type that we know."""
    cdef Py_ssize_t consumed = 0
    cdef bytes source
    cdef str text
    if type(payload) is not bytes and type(payload) is not bytearray:
        return None
    if utf8 is not None and type(utf8) is not names.Utf8Decoder:
        return None
    source = bytes(payload)
    if utf8 is not None and utf8.buffer:
        source = utf8.buffer + source
    text = ascii_text(source)
    if text is not None:
        consumed = len(source)
    else:
        try:
            text = PyUnicode_DecodeUTF8Stateful(
                PyBytes_AS_STRING(source), len(source), NULL, NULL if finished else &consumed
            )
        except UnicodeDecodeError:
            return None
    if not finished:
        if utf8 is None:
            utf8 = held["decoder"] = names.Utf8Decoder()
        utf8.buffer = source[consumed:]
    return text


cdef str ascii_text(bytes source):
    """A long text, if all of it is ASCII; else None."""
    cdef Py_ssize_t size = len(source)
    cdef str text
    if size < ASCII_SIZE:
        return None
    text = PyUnicode_New(size, 127)
    if unmask_ascii(
        <uint8_t *>PyUnicode_DATA(text), <const uint8_t *>PyBytes_AS_STRING(source), size, 0
    ):
        return text
    return None


def make_process_frame(original, Names names not None):
    """MessageDecoder.process_frame, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def process_frame(self, frame):
        cdef int message = BAD
        cdef bint finished
        cdef dict held = names.messages.attributes(self)
        if held is None or type(frame) is not names.Frame or not names.frame_globals.kept():
            return original(self, frame)
        opcode, payload, frame_finished, message_finished = <tuple>frame
        if type(opcode) is not names.Opcode or opcode > BINARY:
            return original(self, frame)
        if type(frame_finished) is not bool or type(message_finished) is not bool:
            return original(self, frame)
        finished = frame_finished and message_finished
        payload = decoded(names, held, opcode, payload, finished, &message)
        if message == BAD:
            return original(self, frame)
        return new_frame(names, names.opcodes[message], payload, frame_finished, finished)

    return stand_in(process_frame, original)
