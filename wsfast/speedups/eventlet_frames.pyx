# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence, and nothing is kept between two calls)
"""eventlet's `RFC6455WebSocket._pack_message` for messages that are not compressed.

A client of eventlet seeds a generator with the time for every masking key. Here keys come from
the operating system's generator, as section 5.3 of RFC 6455 wants them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t

from wsfast.frame cimport next_masking_key
from wsfast.speedups.building cimport frame_as_bytes

import random

from wsfast.speedups.methods import stand_in

__all__ = ["make_pack_message"]


cdef enum:
    FIN_BIT = 0x80
    TEXT = 1
    BINARY = 2
    LARGEST_CONTROL = 125

METHODS = ("_apply_mask", "_get_permessage_deflate_enc")


cdef int first_byte(object control_code, bint is_text, bint continuation, bint final) except -2:
    """The first byte of the frame; -1 if there may be no such frame."""
    if not control_code:
        return (0 if continuation else TEXT if is_text else BINARY) | (FIN_BIT if final else 0)
    if type(control_code) is not int or not 8 <= control_code <= 10 or continuation or not final:
        return -1
    return FIN_BIT | <int>control_code


@cython.final
cdef class Packer:

    def __cinit__(self):
        from eventlet import websocket as module

        self._methods = Methods(module.RFC6455WebSocket, METHODS, ("extensions",), -1)
        self._globals = Globals(module, "Random", "RFC6455WebSocket", "struct")

    cdef bytes _packed(
        self, object websocket, object message, bint masked, object continuation, object final,
        object control_code
    ):
        cdef dict own = self._methods.attributes(websocket)
        cdef bytes data
        cdef int first = first_byte(control_code, type(message) is str, continuation, final)
        cdef uint32_t key = 0
        if own is None or first < 0 or not self._globals.kept():
            return None
        if type(own.get("extensions")) is not dict or "permessage-deflate" in own["extensions"]:
            return None
        if type(message) is str:
            data = (<str>message).encode("utf-8")
        elif PyBytes_CheckExact(message):
            data = message
        else:
            return None
        if control_code and PyBytes_GET_SIZE(data) > LARGEST_CONTROL:
            return None
        masked = masked and PyBytes_GET_SIZE(data) > 0
        if masked:
            next_masking_key(&key)
        return frame_as_bytes(
            <uint8_t>first,
            <const uint8_t *>PyBytes_AS_STRING(data),
            <size_t>PyBytes_GET_SIZE(data),
            masked,
            key,
        )


def make_pack_message(original):
    """A replacement of `RFC6455WebSocket._pack_message`.

    Raises:
        RuntimeError: somebody has put something else in the place of its generator.
    """
    from eventlet import websocket

    if websocket.Random is not random.Random:
        raise RuntimeError("Random is replaced")

    def _pack_message(
        self, message, masked=False, continuation=False, final=True, control_code=None
    ):
        frame = packer._packed(self, message, bool(masked), continuation, final, control_code)
        if frame is None:
            return original(self, message, masked, continuation, final, control_code)
        return frame

    cdef Packer packer = Packer()
    return stand_in(_pack_message, original)
