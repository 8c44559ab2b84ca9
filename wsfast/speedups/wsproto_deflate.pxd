# permessage-deflate of wsproto (RFC 7692), hook by hook.
from wsfast.speedups.wsproto_names cimport Names


# `held` is what a PerMessageDeflate holds: its attributes, as names.deflate found them.

# What frame_inbound_header does for a frame without RSV2 and RSV3; 0 if the original has to, for
# what breaks a rule.
cdef bint judge_header(
    Names names, dict held, bint client, int opcode, bint compressed
) except -1

# What frame_inbound_payload_data and frame_inbound_complete return: the payload, None for none,
# or the CloseReason for what zlib refuses.
cdef object inflated(Names names, dict held, object data)
cdef object completed(Names names, dict held, bint client, bint fin)
