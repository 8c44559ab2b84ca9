# Frames of wsproto to the parts of messages that it hands out (RFC 6455 sections 5.4 and 5.6).
from wsfast.speedups.wsproto_names cimport Names


# `held` is what a MessageDecoder holds: its attributes, as names.messages found them.

# What a MessageDecoder makes of the payload of a data frame or of a part of one: a str, or the
# payload itself. *message is then the opcode of the message; -1 if the original has to say what
# is wrong, and then nothing was changed. `finished` is for the message.
cdef object decoded(
    Names names, dict held, int opcode, object payload, bint finished, int *message
)

# Whether the decoder is between two messages.
cdef bint is_idle(dict held) except -1
