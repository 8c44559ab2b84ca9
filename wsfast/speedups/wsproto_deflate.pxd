# permessage-deflate of wsproto (RFC 7692), hook by hook.
from wsfast.speedups.wsproto_names cimport Names


# What frame_inbound_header does for a frame without RSV2 and RSV3; 0 if the original has to: for
# what breaks a rule, and where a decompressor is to be made.
cdef bint judge_header(Names names, object extension, int opcode, bint compressed) except -1

# What frame_inbound_payload_data and frame_inbound_complete return: the payload, None for none,
# or the CloseReason for what zlib refuses.
cdef object inflated(Names names, object extension, object data)
cdef object completed(Names names, object extension, bint client, bint fin)
