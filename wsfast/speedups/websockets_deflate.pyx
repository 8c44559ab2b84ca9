# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (sizes come with the pointers; one thread at a time per connection, as in websockets)
"""permessage-deflate for websockets (RFC 7692 section 7.2): PerMessageDeflate without its frames.

The extension stays the library's own object: its (de)compressor, its flags. What is saved is a
Frame before and one after each call, and copies of the payload around zlib. A connection without
context takeover makes a new compressor for every message, beside which this is nothing: that is
left to the library.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

import zlib

from wsfast.mask cimport mask_copy

__all__ = []

cdef enum:
    CONTINUATION = 0

cdef bytes EMPTY_BLOCK = b"\x00\x00\xff\xff"
cdef object SYNC_FLUSH = zlib.Z_SYNC_FLUSH
cdef object ZLIB_ERROR = zlib.error


cdef bint keeps_encoder(object extension) except -1:
    return extension.local_no_context_takeover is False


cdef bint keeps_decoder(object extension) except -1:
    return extension.remote_no_context_takeover is False


cdef bytes deflated(object extension, object payload):
    cdef object encoder = extension.encoder
    cdef bytes begun = encoder.compress(payload)
    cdef bytes ended = encoder.flush(SYNC_FLUSH)
    if not ended.endswith(EMPTY_BLOCK):
        raise AssertionError
    return ended if PyBytes_GET_SIZE(begun) == 0 else begun + ended


cdef bint is_compressed(object extension, FrameHeader *header) except -1:
    if header.opcode == CONTINUATION:
        return extension.decode_cont_data
    return header.rsv != 0


cdef object inflated(
    Names names, object extension, const uint8_t *data, FrameHeader *header, object max_size
):
    cdef Py_ssize_t size = <Py_ssize_t>header.payload_length
    cdef bint complete = header.fin and size < SMALL
    cdef bytes compressed = PyBytes_FromStringAndSize(NULL, size + EMPTY_BLOCK_SIZE * complete)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(compressed)
    mask_copy(out, data, <size_t>size, header.masking_key)
    if header.fin and not complete:
        return by_library(names, extension, compressed, header, max_size)
    if header.fin:
        memcpy(out + size, PyBytes_AS_STRING(EMPTY_BLOCK), EMPTY_BLOCK_SIZE)
    if not header.fin and header.opcode != CONTINUATION:
        extension.decode_cont_data = True
    elif header.fin and header.opcode == CONTINUATION:
        extension.decode_cont_data = False
    return decompressed(names, extension.decoder, compressed, max_size)


cdef object by_library(
    Names names, object extension, bytes compressed, FrameHeader *header, object max_size
):
    """A large payload by decode() itself: zlib is nearly all of its time."""
    frame = names.Frame(names.opcodes[header.opcode], compressed, True, header.rsv != 0)
    return extension.decode(frame, max_size=max_size).data


cdef object decompressed(Names names, object decoder, bytes compressed, object max_size):
    try:
        payload = decoder.decompress(compressed, 0 if max_size is None else max_size)
    except ZLIB_ERROR as error:
        raise names.ProtocolError("decompression failed") from error
    if decoder.unconsumed_tail:
        raise names.PayloadTooBig(None, max_size)
    return payload
