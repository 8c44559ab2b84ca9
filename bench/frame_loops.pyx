# cython: language_level=3, boundscheck=False, wraparound=False
# (streams of whole frames, as bench_frame.py makes them)
"""Loops over a stream of frames in C, for bench_frame.py: a Python call costs more than a frame."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t

from wsfast.frame cimport FrameHeader, parse_header
from wsfast.mask cimport mask_copy
from wsfast.receiver cimport Receiver

import time

cdef uint8_t scratch[65536]


def walk(bytes stream, size_t times):
    """Parse each header and unmask each payload into a scratch block: (seconds, frames)."""
    cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(stream)
    cdef size_t size = <size_t>len(stream)
    cdef size_t offset, frames = 0
    cdef FrameHeader header
    cdef int used
    start = time.perf_counter()
    for _ in range(times):
        offset = 0
        while offset < size:
            used = parse_header(data + offset, size - offset, &header)
            if used <= 0:
                raise ValueError(f"no frame at offset {offset}")
            offset += used
            mask_copy(
                scratch, data + offset, <size_t>header.payload_length, header.masking_key
            )
            offset += <size_t>header.payload_length
            frames += 1
    return time.perf_counter() - start, frames


cdef class Unmasker(Receiver):
    """The engine's own parser, with every rule checked; a message is unmasked and forgotten."""

    cdef size_t messages

    def __init__(self):
        self.is_server = True
        self.max_message_bytes = sizeof(scratch)

    def run(self, bytes stream, size_t times):
        """(seconds, frames)."""
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(stream)
        self.messages = 0
        start = time.perf_counter()
        for _ in range(times):
            self.receive_bytes(data, <size_t>len(stream))
        return time.perf_counter() - start, self.messages

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        mask_copy(scratch, payload, size, key)
        self.messages += 1
        return 0
