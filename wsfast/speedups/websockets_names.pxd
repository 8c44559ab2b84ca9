# What the compiled half of the websockets speedups knows of the library: looked up once.
from wsfast.speedups.keys cimport KeySource
from wsfast.speedups.methods cimport Globals, Methods


# The library's classes and enum members, and what a fast path stands for, as of one install.
# Never written after __init__.
cdef class Names:
    cdef readonly object Frame
    cdef readonly tuple opcodes          # the Opcode member of each number, or None; 16 of them
    cdef object Opcode
    cdef object PayloadTooBig
    cdef object ProtocolError
    cdef object StreamReader
    cdef object SERVER                   # the Side
    cdef object CLIENT                   # the Side
    cdef object OPEN                     # the State
    cdef object PerMessageDeflate        # None: extensions are the library's own business
    cdef object parse_name               # of the generators that Protocol.parse makes
    cdef object at_eof_name              # of those that StreamReader.at_eof makes
    cdef object read_exact               # the function in StreamReader
    cdef str current_size                # under which name a Protocol has it in this version
    cdef bint has_fragment_limit         # since 16.0

    cdef KeySource keys                  # over secrets.token_bytes

    cdef Methods receiving               # what receive_data and the parser call on a Protocol
    cdef Methods sending                 # what send_text, send_binary ... call on a Protocol
    cdef Methods messages                # what Connection.send calls on a Protocol
    cdef Methods frame                   # what parsing and serializing call on a Frame
    cdef Methods reader                  # what the parser calls on a StreamReader
    cdef Methods deflate                 # of PerMessageDeflate; None without it
    cdef Globals struct                  # what tests replace to see the parser fail
    cdef Globals frames                  # of websockets.frames
    cdef Globals protocol                # of websockets.protocol

    # Parts of __init__: what a Protocol holds; and the methods to watch.
    cdef int learn_protocol(self, module) except -1
    cdef int learn_methods(self, frame, reader, deflate) except -1

    # Whether everything that reading a frame from its start stands for is as it was.
    cdef bint can_parse(self) except -1

    # Whether everything that building a frame, or its bytes, stands for is as it was.
    cdef bint can_build(self) except -1

    # The one extension of a connection, if it is a PerMessageDeflate that we stand in for; None
    # if there is no extension. `mine` is set to whether it is one of these two.
    cdef object extension_in(self, object extensions, bint *mine)
