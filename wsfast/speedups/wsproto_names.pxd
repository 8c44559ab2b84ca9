# What the compiled half of the wsproto speedups knows of the library: looked up once.
from wsfast.speedups.keys cimport KeySource
from wsfast.speedups.methods cimport Globals, Methods


# The library's classes and enum members, and whether they still are what they were, as of one
# install. Written while the slots are filled, and only read after that.
cdef class Names:
    cdef readonly dict frame_protocol     # the globals of wsproto.frame_protocol
    cdef readonly dict extensions         # those of wsproto.extensions
    cdef KeySource keys                   # over os.urandom

    # Classes.
    cdef object Frame
    cdef object Header
    cdef object RsvBits
    cdef object ParseFailed
    cdef object CloseReason
    cdef object Opcode
    cdef object Buffer
    cdef object Connection
    cdef object Message
    cdef object TextMessage
    cdef object BytesMessage
    cdef object Ping
    cdef object Pong
    cdef object CloseConnection
    cdef object Utf8Decoder               # what getincrementaldecoder("utf-8") returns

    # Members and values.
    cdef tuple opcodes                    # by number; None where there is none
    cdef object CONTINUATION
    cdef object TEXT
    cdef object BINARY
    cdef object CLOSE
    cdef tuple rsv_bits                   # RsvBits by number: RSV1 is 4, RSV2 is 2, RSV3 is 1
    cdef object OPEN                      # ConnectionState members
    cdef object LOCAL_CLOSING
    cdef object CLOSED
    cdef object REMOTE_CLOSING

    # What differs between releases.
    cdef readonly bint loose              # before 1.3: a payload is a bytes or a bytearray
    cdef readonly bint copied             # 1.3.0, 1.3.1: a BytesMessage holds a bytearray

    # What fast paths stand for.
    cdef readonly Methods decoder         # of FrameDecoder
    cdef readonly Methods messages        # of MessageDecoder
    cdef readonly Methods protocol        # of FrameProtocol
    cdef readonly Methods connection      # of Connection
    cdef readonly Methods upgraded        # of WSConnection
    cdef readonly Methods handshake       # of H11Handshake
    cdef readonly Methods deflate         # of PerMessageDeflate
    cdef readonly Globals frame_globals   # of wsproto.frame_protocol
    cdef readonly Globals event_globals   # of wsproto.connection

    # The originals that more than their own replacement calls.
    cdef public object process_buffer
    cdef public object serialize_frame

    # Note the classes and members of wsproto.frame_protocol.
    cdef int enter_frames(self, module) except -1

    # Note the classes of wsproto.events.
    cdef int enter_events(self, module) except -1

    # Note what the classes and modules are made of.
    cdef int enter_methods(self, module, connection) except -1

    # Find out what differs between releases.
    cdef int learn_habits(self, client) except -1


# An instance of a NamedTuple class, without its Python-level __new__.
cdef object named(object cls, tuple items)

# An instance of an ordinary class, without its __init__.
cdef object blank(object cls)

# A Frame.
cdef object new_frame(
    Names names, object opcode, object payload, bint frame_finished, bint message_finished
)
