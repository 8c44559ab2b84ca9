# cython: language_level=3, freethreading_compatible=True
# (one thread at a time per connection, as in wsproto)
"""wsproto's PerMessageDeflate: its hooks, as the original calls them (RFC 7692).

The zlib objects stay the library's, and so does their making: whoever has put another module in
the place of `wsproto.extensions.zlib` goes on with that. What is left is the bookkeeping around
them, which costs a short message more than zlib does.

Where this extension is the only one, the decoder does not even call the hooks for a frame that
has arrived whole: it does what they do.
"""

from wsfast.speedups.wsproto_names cimport dressed, named

__all__ = ["make_inbound_complete", "make_inbound_header", "make_inbound_payload", "make_outbound"]

cdef enum:
    CONTINUATION = 0
    BINARY = 2            # the last opcode of data frames

cdef bytes TAIL = b"\x00\x00\xff\xff"


cdef bint judge_header(Names names, object extension, int opcode, bint compressed) except -1:
    cdef object current = extension._inbound_compressed
    if compressed:
        if opcode == CONTINUATION or opcode > BINARY:
            return False
        if current is None and extension._decompressor is None:
            return False
    extension._inbound_is_compressible = opcode <= BINARY
    if current is None:
        extension._inbound_compressed = compressed
    return True


cdef object inflated(Names names, object extension, object data):
    if not extension._inbound_compressed or not extension._inbound_is_compressible:
        return data
    decompressor = extension._decompressor
    try:
        return decompressor.decompress(data if type(data) is bytes else bytes(data))
    except Exception as error:
        if isinstance(error, names.extensions["zlib"].error):
            return names.CloseReason.INVALID_FRAME_PAYLOAD_DATA
        raise


cdef object completed(Names names, object extension, bint client, bint fin):
    if not fin:
        return None
    if not extension._inbound_is_compressible or not extension._inbound_compressed:
        extension._inbound_compressed = None
        return None
    decompressor = extension._decompressor
    try:
        data = decompressor.decompress(TAIL)
        data += decompressor.flush()
    except Exception as error:
        if isinstance(error, names.extensions["zlib"].error):
            return names.CloseReason.INVALID_FRAME_PAYLOAD_DATA
        raise
    if client:
        forget = extension.server_no_context_takeover
    else:
        forget = extension.client_no_context_takeover
    if forget:
        extension._decompressor = None
    extension._inbound_compressed = None
    return data


def make_inbound_header(original, Names names not None):
    """PerMessageDeflate.frame_inbound_header, compiled.

    Args:
        original: the library's own; judges what breaks a rule, and makes decompressors.
        names: the library.
    """

    def frame_inbound_header(self, proto, opcode, rsv, payload_length):
        cdef object compressed
        if (
            names.is_own_deflate(self)
            and type(opcode) is names.Opcode
            and type(rsv) is names.RsvBits
        ):
            compressed = (<tuple>rsv)[0]
            if type(compressed) is bool and judge_header(names, self, opcode, compressed):
                return names.rsv_bits[4]
        return original(self, proto, opcode, rsv, payload_length)

    names.inbound_header = dressed(frame_inbound_header, original)
    return names.inbound_header


def make_inbound_payload(original, Names names not None):
    """PerMessageDeflate.frame_inbound_payload_data, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def frame_inbound_payload_data(self, proto, data):
        if not names.is_own_deflate(self) or self._decompressor is None:
            return original(self, proto, data)
        return inflated(names, self, data)

    names.inbound_payload = dressed(frame_inbound_payload_data, original)
    return names.inbound_payload


def make_inbound_complete(original, Names names not None):
    """PerMessageDeflate.frame_inbound_complete, compiled.

    Args:
        original: the library's own.
        names: the library.
    """

    def frame_inbound_complete(self, proto, fin):
        if not names.is_own_deflate(self) or self._decompressor is None:
            return original(self, proto, fin)
        return completed(names, self, proto.client, fin)

    names.inbound_complete = dressed(frame_inbound_complete, original)
    return names.inbound_complete


def make_outbound(original, Names names not None):
    """PerMessageDeflate.frame_outbound, compiled.

    Args:
        original: the library's own; makes compressors.
        names: the library.
    """

    def frame_outbound(self, proto, opcode, rsv, data, fin):
        if (
            not names.is_own_deflate(self)
            or type(opcode) is not names.Opcode
            or type(rsv) is not names.RsvBits
        ):
            return original(self, proto, opcode, rsv, data, fin)
        if opcode > BINARY:
            return rsv, data
        compressor = self._compressor
        if compressor is None:
            return original(self, proto, opcode, rsv, data, fin)
        if opcode != CONTINUATION:
            rsv = named(names.RsvBits, (True, rsv[1], rsv[2]))
        data = compressor.compress(data if type(data) is bytes else bytes(data))
        if fin:
            data += compressor.flush(names.extensions["zlib"].Z_SYNC_FLUSH)
            data = data[:-4]
            if proto.client:
                forget = self.client_no_context_takeover
            else:
                forget = self.server_no_context_takeover
            if forget:
                self._compressor = None
        return rsv, data

    return dressed(frame_outbound, original)
