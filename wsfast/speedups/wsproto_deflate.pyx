# cython: language_level=3, freethreading_compatible=True
# (one thread at a time per connection, as in wsproto)
"""wsproto's PerMessageDeflate: its hooks, as the original calls them (RFC 7692).

The zlib objects are made and called as the library does it, by `wsproto.extensions.zlib`: whoever
has put another module in its place goes on with that. What is saved is the bookkeeping around
them, which costs a short message more than zlib does.

Where this extension is the only one, the decoder does not even call the hooks for a frame that
has arrived whole: it does what they do.
"""

from wsfast.speedups.wsproto_names cimport named

from wsfast.speedups.methods import stand_in

__all__ = ["make_inbound_complete", "make_inbound_header", "make_inbound_payload", "make_outbound"]

cdef enum:
    CONTINUATION = 0
    BINARY = 2            # the last opcode of data frames

cdef bytes TAIL = b"\x00\x00\xff\xff"


cdef bint judge_header(
    Names names, dict held, bint client, int opcode, bint compressed
) except -1:
    if compressed and (opcode == CONTINUATION or opcode > BINARY):
        return False
    held["_inbound_is_compressible"] = opcode <= BINARY
    if held["_inbound_compressed"] is None:
        held["_inbound_compressed"] = compressed
        if compressed and held["_decompressor"] is None:
            bits = held["_server_max_window_bits" if client else "_client_max_window_bits"]
            held["_decompressor"] = names.extensions["zlib"].decompressobj(-int(bits))
    return True


cdef object new_compressor(Names names, dict held, bint client):
    cdef object zlib = names.extensions["zlib"]
    bits = held["_client_max_window_bits" if client else "_server_max_window_bits"]
    return zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -int(bits))


cdef object inflated(Names names, dict held, object data):
    if not held["_inbound_compressed"] or not held["_inbound_is_compressible"]:
        return data
    decompressor = held["_decompressor"]
    try:
        return decompressor.decompress(data if type(data) is bytes else bytes(data))
    except Exception as error:
        if isinstance(error, names.extensions["zlib"].error):
            return names.CloseReason.INVALID_FRAME_PAYLOAD_DATA
        raise


cdef object completed(Names names, dict held, bint client, bint fin):
    if not fin:
        return None
    if not held["_inbound_is_compressible"] or not held["_inbound_compressed"]:
        held["_inbound_compressed"] = None
        return None
    decompressor = held["_decompressor"]
    try:
        data = decompressor.decompress(TAIL)
        data += decompressor.flush()
    except Exception as error:
        if isinstance(error, names.extensions["zlib"].error):
            return names.CloseReason.INVALID_FRAME_PAYLOAD_DATA
        raise
    if client:
        forget = held["server_no_context_takeover"]
    else:
        forget = held["client_no_context_takeover"]
    if forget:
        held["_decompressor"] = None
    held["_inbound_compressed"] = None
    return data


def make_inbound_header(original, Names names not None):
    """PerMessageDeflate.frame_inbound_header, compiled.

    Args:
        original: the library's own; judges what breaks a rule.
        names: the library.
    """

    def frame_inbound_header(self, proto, opcode, rsv, payload_length):
        cdef dict held = names.deflate.attributes(self)
        cdef object compressed
        if held is not None and type(opcode) is names.Opcode and type(rsv) is names.RsvBits:
            compressed = (<tuple>rsv)[0]
            if type(compressed) is bool and judge_header(
                names, held, proto.client, opcode, compressed
            ):
                return names.rsv_bits[4]
        return original(self, proto, opcode, rsv, payload_length)

    return stand_in(frame_inbound_header, original)


def make_inbound_payload(original, Names names not None):
    """PerMessageDeflate.frame_inbound_payload_data, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def frame_inbound_payload_data(self, proto, data):
        cdef dict held = names.deflate.attributes(self)
        if held is None or held["_decompressor"] is None:
            return original(self, proto, data)
        return inflated(names, held, data)

    return stand_in(frame_inbound_payload_data, original)


def make_inbound_complete(original, Names names not None):
    """PerMessageDeflate.frame_inbound_complete, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def frame_inbound_complete(self, proto, fin):
        cdef dict held = names.deflate.attributes(self)
        if held is None or held["_decompressor"] is None:
            return original(self, proto, fin)
        return completed(names, held, proto.client, fin)

    return stand_in(frame_inbound_complete, original)


def make_outbound(original, Names names not None):
    """PerMessageDeflate.frame_outbound, compiled.

    Args:
        original: the library's own; takes what is not compressed.
        names: the library.
    """

    def frame_outbound(self, proto, opcode, rsv, data, fin):
        cdef dict held = names.deflate.attributes(self)
        cdef object compressor
        if (
            held is None
            or type(opcode) is not names.Opcode
            or type(rsv) is not names.RsvBits
            or opcode > BINARY
        ):
            return original(self, proto, opcode, rsv, data, fin)
        compressor = held["_compressor"]
        if compressor is None:
            if opcode == CONTINUATION:
                return original(self, proto, opcode, rsv, data, fin)
            compressor = held["_compressor"] = new_compressor(names, held, proto.client)
        if opcode != CONTINUATION:
            rsv = named(names.RsvBits, (True, rsv[1], rsv[2]))
        data = compressor.compress(data if type(data) is bytes else bytes(data))
        if fin:
            data += compressor.flush(names.extensions["zlib"].Z_SYNC_FLUSH)
            data = data[:-4]
            if proto.client:
                forget = held["client_no_context_takeover"]
            else:
                forget = held["server_no_context_takeover"]
            if forget:
                held["_compressor"] = None
        return rsv, data

    return stand_in(frame_outbound, original)
